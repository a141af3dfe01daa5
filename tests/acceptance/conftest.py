# SPDX-License-Identifier: Apache-2.0
"""One running Nightdrop for all tests, a new district for each, and two of its nights."""

import csv
import itertools
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from acceptance.district import EPOCH, NEXT_EPOCH, District, Night
from acceptance.running import Nightdrop

STUDENTS = 60
NOTHING = {"added": 0, "updated": 0, "deleted": 0, "unchanged": 0, "faulty": 0}

Row = dict[str, str]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def nightdrop() -> Iterator[Nightdrop]:
    """Serve as an operator does.

    Started by root, its parts and PostgreSQL run as the ordinary user `nightdrop`; started
    by an ordinary user, all of it runs as that user.
    """
    if not shutil.which("sftp"):
        pytest.skip("OpenSSH's sftp is not installed")
    with Nightdrop() as running:
        yield running


@pytest.fixture
def apple(nightdrop: Nightdrop) -> District:
    """Apple Grove: a district of the test's own."""
    return _make_district(nightdrop)


@pytest.fixture
def birch(nightdrop: Nightdrop) -> District:
    """Birch Hill: another one."""
    return _make_district(nightdrop)


@pytest.fixture
def new_district(nightdrop: Nightdrop) -> Callable[[], District]:
    """Make districts, as many as a test needs."""
    return partial(_make_district, nightdrop)


@pytest.fixture(scope="session")
def nights(nightdrop: Nightdrop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Night, Night]:
    """Two nights of a district, and what they come to when nothing is killed."""
    place = tmp_path_factory.mktemp("nights")
    first, second = place / "first", place / "second"
    nightdrop.console.run("sample", "--students", str(STUDENTS), str(first))
    second.mkdir()
    students = _change(first, second, "students.csv", _change_students)
    guardians = _change(first, second, "guardians.csv", _change_guardians)
    for directory in (first, second):
        (directory / "COMPLETE").touch()
    control = _make_district(nightdrop)
    return (
        _load(
            control, first, EPOCH, (NOTHING | {"added": students}, NOTHING | {"added": guardians})
        ),
        _load(
            control,
            second,
            NEXT_EPOCH,
            (
                NOTHING | {"added": 2, "updated": 10, "unchanged": students - 10},
                NOTHING | {"added": 1, "updated": 5, "deleted": 3, "unchanged": guardians - 8},
            ),
        ),
    )


@pytest.fixture(scope="session")
def first_night(nights: tuple[Night, Night]) -> Night:
    """Fill an empty roster."""
    return nights[0]


@pytest.fixture(scope="session")
def second_night(nights: tuple[Night, Night]) -> Night:
    """Add to, change and take from what the first night brought."""
    return nights[1]


def _make_district(nightdrop: Nightdrop) -> District:
    return District(nightdrop, f"applegrove{next(_numbers)}.org")


def _load(
    control: District, directory: Path, epoch: str, counts: tuple[dict[str, int], dict[str, int]]
) -> Night:
    """Load a night that nothing disturbs, and keep what the roster is then."""
    named = dict(zip(("students", "guardians"), counts, strict=True))
    night = Night(directory, counts=named, exported={})
    control.send(*night.commands(epoch))
    control.wait_until_finished(epoch)
    done = Night(directory, counts=named, exported=control.export())
    control.check_loaded_once(done, epoch=epoch)
    for table, exported in done.exported.items():
        rows = exported.splitlines()[1:]
        assert len(rows) == len((directory / f"{table}.csv").read_text().splitlines()) - 1
    return done


def _change(old: Path, new: Path, name: str, change: Callable[[list[Row]], list[Row]]) -> int:
    """Write a changed file; return how many rows there were."""
    with (old / name).open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    with (new / name).open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(change(rows))
    return len(rows)


def _change_students(rows: list[Row]) -> list[Row]:
    moved = [row | {"City": "Quince Hill"} for row in rows[:10]]
    new = [
        row
        | {"Student Id": f"99{number}", "SIS Internal ID": f"99{number}", "First Name": name}
        | {"Student Reporting Id": f"AG99{number}", "Date of Birth": "02/03/2014"}
        for number, (row, name) in enumerate(zip(rows, ("Ida", "Bo"), strict=False))
    ]
    return [*moved, *rows[10:], *new]


def _change_guardians(rows: list[Row]) -> list[Row]:
    called = [row | {"Cell Phone": "(413) 555-0199"} for row in rows[:5]]
    return [*called, *rows[5:-3], rows[0] | {"Student Id": "990"}]
