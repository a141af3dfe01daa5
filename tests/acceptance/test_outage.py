# SPDX-License-Identifier: Apache-2.0
"""The database is away for a while, and districts notice nothing: an hour of it under `soak`.

Logins are decided from the snapshot, what happens goes to the journal; when the database is
back, each event and each seal has arrived, and each once.
"""

import csv
import itertools
import shutil
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from acceptance.conftest import NOTHING
from acceptance.databases import away, journal_bytes, read_journal, standing_still
from acceptance.district import TABLES, District, Night, end, tell
from acceptance.processes import PATIENCE_SECONDS, kill_processes, wait_until
from acceptance.running import Nightdrop
from nightdrop.core.accounts import LoginFault
from nightdrop.core.events import Event, EventKind
from nightdrop.storage.records import SealRecord

#: How long the database is away, and how often a night comes meanwhile.
SHORT = (20, 1)
HOUR = (3600, 5)
DISTRICTS = 4
#: What a night of these may take to be checked and loaded when all of them come at once.
LOAD_SECONDS = 2
#: Somebody who has a wrong key tries so often, from an address of his own.
STRANGER = "127.0.0.66"
STRANGER_SECONDS = 7
FIRST_NIGHT = datetime(2026, 11, 23, 2, 14, 7, tzinfo=UTC)


@dataclass
class Sender:
    """A district's script: each of its nights differs from the one before in one student."""

    district: District
    base: Path
    place: Path
    #: Epochs in the order in which they were sent, with the city that tells them apart.
    sent: dict[str, str] = field(default_factory=dict)

    def make_night(self) -> tuple[str, Night]:
        """Write the files of the next night."""
        number = len(self.sent)
        epoch = f"{FIRST_NIGHT + timedelta(days=number):%Y%m%d-%H%M%S}"
        directory = self.place / epoch
        shutil.copytree(self.base, directory)
        with (directory / "students.csv").open(encoding="utf-8", newline="") as source:
            rows = list(csv.DictReader(source))
        rows[0]["City"] = self.sent[epoch] = f"Quince Hill {number}"
        with (directory / "students.csv").open("w", encoding="utf-8", newline="") as target:
            writer = csv.DictWriter(target, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return epoch, Night(directory, counts={}, exported={})

    def send(self) -> None:
        """Send the next night in a connection of its own, until it is sealed."""
        epoch, night = self.make_night()
        self.district.send(*night.commands(epoch))
        self.wait_for_seal(epoch)

    def wait_for_seal(self, epoch: str) -> None:
        wait_until(
            lambda: self.district.has_seal(epoch),
            what=f"the seal of {epoch}",
            why=self.district.nightdrop.log,
        )

    def counts(self) -> list[Mapping[str, Mapping[str, int]]]:
        """Return what the loads of its nights count when each was loaded once, in order."""
        sizes = {table: self._count(table) for table in TABLES}
        first = {table: NOTHING | {"added": size} for table, size in sizes.items()}
        later = {
            "students": NOTHING | {"updated": 1, "unchanged": sizes["students"] - 1},
            "guardians": NOTHING | {"unchanged": sizes["guardians"]},
        }
        return [first, *itertools.repeat(later, len(self.sent) - 1)]

    def _count(self, table: str) -> int:
        with (self.base / f"{table}.csv").open(encoding="utf-8", newline="") as source:
            return sum(1 for _ in csv.DictReader(source))


@pytest.fixture
def senders(
    new_district: Callable[[], District], first_night: Night, tmp_path: Path
) -> list[Sender]:
    """Four districts of one bureau, which have sent a night before."""
    found = []
    for number in range(DISTRICTS):
        place = tmp_path / str(number)
        place.mkdir()
        found.append(Sender(new_district(), first_night.directory, place))
    for sender in found:
        sender.send()
    for sender in found:
        sender.district.wait_until_finished(next(iter(sender.sent)))
    return found


@pytest.fixture
def wrong_key(tmp_path: Path) -> Path:
    key = tmp_path / "wrong"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key


@pytest.mark.parametrize(
    ("seconds", "every_seconds"),
    [
        pytest.param(*SHORT, marks=pytest.mark.timeout(300), id="seconds"),
        pytest.param(*HOUR, marks=[pytest.mark.soak, pytest.mark.timeout(3 * 3600)], id="hour"),
    ],
)
def test_an_outage_loses_nothing_and_repeats_nothing(
    nightdrop: Nightdrop,
    senders: list[Sender],
    wrong_key: Path,
    record_property: Callable[[str, object], None],
    tmp_path: Path,
    seconds: int,
    every_seconds: int,
) -> None:
    old = Slow(senders[0], tmp_path / "old")
    begun_at = datetime.now(UTC)
    with away(nightdrop):
        old.send_rest()
        strangers = send_nights(
            nightdrop, senders, wrong_key, seconds=seconds, every_seconds=every_seconds
        )
        late = Slow(senders[1], tmp_path / "late")
        ended_at = datetime.now(UTC)
        journal = nightdrop.config.journal_dir
        journaled = [event for event in read_journal(journal) if event.at > begun_at]
        size = journal_bytes(journal)
    record_property("journal_kib", round(size / 1024))
    record_property("journaled_events", len(journaled))
    late.send_rest()
    check_events(nightdrop, senders, journaled, since=begun_at, until=ended_at, strangers=strangers)
    check_deliveries(nightdrop, senders, journaled)


class Slow:
    """A session that has sent its files, and sends its marker later."""

    def __init__(self, sender: Sender, sign: Path) -> None:
        self._sender = sender
        self._epoch, self._night = sender.make_night()
        *most, self._marker = self._night.commands(self._epoch)
        self._process = sender.district.connect(*most, f"!touch {sign}")
        wait_until(sign.exists, what="the files of a slow session")

    def send_rest(self) -> None:
        tell(self._process, self._marker)
        status, said = end(self._process)
        assert status == 0, said
        self._sender.wait_for_seal(self._epoch)


def send_nights(
    nightdrop: Nightdrop,
    senders: list[Sender],
    wrong_key: Path,
    *,
    seconds: int,
    every_seconds: int,
) -> int:
    """Send nights from all districts in turn; meanwhile SFTP processes are killed.

    Returns: how often somebody was refused who has no business here.
    """
    kills: list[tuple[float, Callable[[], None]]] = [
        (seconds / 3, partial(kill_one, nightdrop)),
        (seconds * 2 / 3, partial(nightdrop.kill_part, "sftp")),
    ]
    start = time.monotonic()
    next_stranger = 0.0
    strangers = 0
    for number, sender in enumerate(itertools.cycle(senders)):
        passed = time.monotonic() - start
        if passed >= seconds:
            return strangers
        if kills and passed >= kills[0][0]:
            _, kill = kills.pop(0)
            kill()
        if passed >= next_stranger:
            status, said = end(sender.district.begin("pwd", key=wrong_key, source=STRANGER))
            assert status != 0, said
            strangers += 1
            next_stranger += STRANGER_SECONDS
        sender.send()
        # Not to wait for anything: an hour has to have a size.
        time.sleep(max(0.0, start + (number + 1) * every_seconds - time.monotonic()))
    raise AssertionError("a cycle does not end")


def kill_one(nightdrop: Nightdrop) -> None:
    """Kill one SFTP process: the other goes on, and its successor begins from the disk."""
    killed, *_ = nightdrop.parts("sftp")
    kill_processes(killed)
    nightdrop.wait_for_others("sftp", killed)


def check_kinds(journaled: list[Event], *, nights: int) -> None:
    """See that all of `nights` was journaled, and of the two slow sessions what came then."""
    kinds = Counter(event.kind for event in journaled)
    files = len(TABLES)
    assert kinds[EventKind.LOGIN_ACCEPTED] == nights + 1
    assert kinds[EventKind.FILE_WRITTEN] == nights * (files + 1) + 1 + files
    assert kinds[EventKind.SEALED] == nights + 1


def check_events(
    nightdrop: Nightdrop,
    senders: list[Sender],
    journaled: list[Event],
    *,
    since: datetime,
    until: datetime,
    strangers: int,
) -> None:
    """See that the database has each event that was journaled, and no other of that time."""
    ids = {event.id for event in journaled}
    assert len(ids) == len(journaled)

    def stored() -> set[Any]:
        rows = nightdrop.ask("SELECT id FROM audit_event WHERE id = ANY(%s)", list(ids))
        return {row[0] for row in rows}

    wait_until(lambda: stored() == ids, what="all events", why=nightdrop.log)
    rows = nightdrop.ask(
        "SELECT id FROM audit_event WHERE at > %s AND at <= %s AND district_id = ANY(%s)",
        since, until, [sender.district.id for sender in senders],
    )  # fmt: skip
    assert {row[0] for row in rows} == {event.id for event in journaled if event.at <= until}
    # Nobody who had done nothing was refused or had to wait; whoever had is known.
    refused = [
        event
        for event in journaled
        if event.kind in {EventKind.LOGIN_REFUSED, EventKind.PENALISED, EventKind.REFUSED}
    ]
    assert {event.facts["address"] for event in refused} == {STRANGER}
    reasons = [event.facts.get("reason") for event in refused]
    assert reasons.count(LoginFault.UNKNOWN_KEY) + reasons.count(LoginFault.PENALISED) >= strangers


def check_deliveries(nightdrop: Nightdrop, senders: list[Sender], journaled: list[Event]) -> None:
    """See that each epoch was delivered and loaded, once and in order."""
    sealed = [
        SealRecord.from_json(event.facts) for event in journaled if event.kind is EventKind.SEALED
    ]
    assert len({record.id for record in sealed}) == len(sealed)
    nights = sum(len(sender.sent) for sender in senders)
    for sender in senders:
        check_district(nightdrop, sender, patience_seconds=PATIENCE_SECONDS + nights * LOAD_SECONDS)
    loads = nightdrop.ask(
        "SELECT count(*) FROM transition WHERE event = 'load' AND district_id = ANY(%s)"
        " GROUP BY delivery_id",
        [sender.district.id for sender in senders],
    )
    assert loads == [(1,)] * nights


def check_district(nightdrop: Nightdrop, sender: Sender, *, patience_seconds: float) -> None:
    def rows() -> list[tuple[Any, ...]]:
        return nightdrop.ask(
            "SELECT epoch, state, counts, finished_at IS NOT NULL FROM delivery"
            " WHERE district_id = %s ORDER BY epoch",
            sender.district.id,
        )

    wait_until(
        lambda: len(rows()) >= len(sender.sent) and all(row[3] for row in rows()),
        what="all deliveries",
        why=lambda: f"{rows()}\n{nightdrop.log()}",
        seconds=patience_seconds,
    )
    expected = zip(sender.sent, sender.counts(), strict=True)
    assert rows() == [(epoch, "loaded", counts, True) for epoch, counts in expected]
    *_, city = sender.sent.values()
    students = csv.DictReader(sender.district.export()["students"].splitlines())
    assert {row["City"] for row in students if row["City"].startswith("Quince Hill")} == {city}


def test_a_database_that_does_not_answer_slows_no_login(
    nightdrop: Nightdrop, apple: District, first_night: Night
) -> None:
    def time_logins() -> Iterator[float]:
        for _ in range(5):
            start = time.monotonic()
            apple.send("pwd")
            yield time.monotonic() - start

    usual = statistics.median(time_logins())
    with standing_still(nightdrop):
        # A process that begins now has its keys from the disk.
        kill_one(nightdrop)
        assert statistics.median(time_logins()) < 3 * usual + 1
        apple.send(*first_night.commands())
    apple.check_loaded_once(first_night)
