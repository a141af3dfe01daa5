# SPDX-License-Identifier: Apache-2.0
"""`nightdrop sample`: lifelike files, the same bytes for the same seed."""

import csv
import hashlib
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from nightdrop.cli.sample import run_sample
from nightdrop.core.formats.generic import GUARDIANS, STUDENTS
from nightdrop.core.formats.headings import match_headings
from nightdrop.core.formats.spec import Table
from nightdrop.core.formats.values import canonical
from nightdrop.intake.sample import write_samples


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sample")
    write_samples(directory, students=3000, seed=1)
    return directory


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.mark.parametrize("table", [STUDENTS, GUARDIANS], ids=lambda table: table.name)
def test_every_cell_is_good(sample: Path, table: Table) -> None:
    found = rows(sample / table.file_name)
    match = match_headings(table, list(found[0]), file=table.file_name)
    assert match.findings == ()
    for row in found:
        for column, text in zip(match.columns, row.values(), strict=True):
            assert column is not None
            assert isinstance(canonical(column, text, today=date(2026, 9, 1)), str), text


def test_keys_are_unique_and_guardians_have_students(sample: Path) -> None:
    students = [row["Student Id"] for row in rows(sample / "students.csv")]
    guardians = [tuple(row.values())[:3] for row in rows(sample / "guardians.csv")]
    assert len(set(students)) == len(students) == 3000
    assert len(set(guardians)) == len(guardians)
    assert {guardian[0] for guardian in guardians} == set(students)
    assert 1.55 < len(guardians) / len(students) < 1.65
    internal = Counter(row["SIS Internal ID"] for row in rows(sample / "students.csv"))
    assert max(internal.values()) == 1


def test_everything_that_trips_a_careless_reader_is_there(sample: Path) -> None:
    text = (sample / "students.csv").read_bytes().decode()
    assert text.startswith("Student Id,Last Name,")
    for trap in ("O'Brien", "\u00e9", '""', ', Jr."', "\nApt ", "\r\n0001001,"):
        assert trap in text


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """The digests are fixed, so that a change that moves the bytes is noticed."""
    write_samples(tmp_path, students=200, seed=7)
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in tmp_path.iterdir()
    }
    assert digests == {"students.csv": "bd0c96ca8b155fa6", "guardians.csv": "d7d487d187ba0287"}
    write_samples(tmp_path, students=200, seed=8)
    assert hashlib.sha256((tmp_path / "students.csv").read_bytes()).hexdigest()[:16] not in digests


def test_fewer_students_are_the_first_of_more(tmp_path: Path, sample: Path) -> None:
    write_samples(tmp_path, students=50, seed=1)
    few = (tmp_path / "students.csv").read_bytes()
    assert (sample / "students.csv").read_bytes().startswith(few)


def test_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_sample(tmp_path / "new", students=3, seed=1) == 0
    assert f"wrote {tmp_path / 'new' / 'students.csv'}" in capsys.readouterr().out


def test_wrong_use_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_sample(tmp_path, students=0, seed=1) == 2
    assert "--students must be at least 1" in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    assert run_sample(blocked, students=1, seed=1) == 1
    assert "nightdrop: " in capsys.readouterr().err


def test_nothing_heavy_is_imported() -> None:
    code = "import nightdrop.cli.sample, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"django", "polars", "typer", "structlog", "pydantic"} & set(done.stdout.split())
