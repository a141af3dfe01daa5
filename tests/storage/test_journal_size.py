# SPDX-License-Identifier: Apache-2.0
"""A journal that nobody empties stays within bounds, and gives up files' events alone."""

import errno
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nightdrop.core.events import FILE_KINDS, Event, EventKind, write_event
from nightdrop.storage.journal import Journal
from nightdrop.storage.journal_size import JournalState, Thinning, measure_journal
from storage.journaling import BEGINNING, event, hand_over, segments
from storage.killing import every_kill

NOW = datetime(2026, 9, 29, tzinfo=UTC)
LINE_BYTES = len(write_event(event(1)))
#: As many lines go into a segment when the journal may have 64 times as many.
LINES = 10
MAX_BYTES = 64 * LINES * LINE_BYTES


def fill(directory: Path, *, number: int, keep_every: int = 5) -> Journal:
    """Append events, of which one in `keep_every` may never be given up."""
    journal = Journal(directory, max_bytes=MAX_BYTES)
    for each in range(number):
        kind = EventKind.FILE_WRITTEN if each % keep_every else EventKind.LOGIN_REFUSED
        journal.append(event(each, kind))
    return journal


def all_of(directory: Path) -> list[Event]:
    """Hand everything over as another process, and return it."""
    journal = Journal(directory)
    found: list[Event] = []
    while (batch := journal.pending(7)).events:
        found += batch.events
        batch.commit()
    assert journal.unreadable == 0
    journal.close()
    return found


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in segments(directory))


def test_a_journal_within_bounds_gives_up_nothing(tmp_path: Path) -> None:
    journal = fill(tmp_path, number=60 * LINES)
    assert journal.thin(now=NOW) is None
    journal.close()
    assert [each.id.int for each in all_of(tmp_path)] == list(range(60 * LINES))


def test_the_oldest_files_go_until_it_is_within_bounds(tmp_path: Path) -> None:
    number = 100 * LINES
    journal = fill(tmp_path, number=number)
    assert size_of(tmp_path) > MAX_BYTES
    thinning = journal.thin(now=NOW)
    assert thinning is not None
    assert thinning.size_bytes == size_of(tmp_path) <= MAX_BYTES
    assert not thinning.is_too_large
    journal.close()
    found = all_of(tmp_path)
    kept = [each.id.int for each in found if each.kind is EventKind.LOGIN_REFUSED]
    assert kept == list(range(0, number, 5))
    files = [each.id.int for each in found if each.kind is EventKind.FILE_WRITTEN]
    assert thinning.dropped == number - len(kept) - len(files)
    lost = [each for each in range(number) if each % 5 and each not in files]
    assert lost[-1] < files[0]
    assert (thinning.first, thinning.last) == (
        BEGINNING + timedelta(seconds=lost[0]), BEGINNING + timedelta(seconds=lost[-1])
    )  # fmt: skip
    told = [each for each in found if each.kind is EventKind.JOURNAL_THINNED]
    assert sum(int(str(each.facts["count"])) for each in told) == thinning.dropped
    assert {(each.at, each.district, each.session) for each in told} == {(NOW, None, None)}
    assert told[0].facts["first"] == BEGINNING.replace(second=8).isoformat()


@pytest.mark.parametrize("kind", [*sorted({*EventKind} - FILE_KINDS), "of-tomorrow"])
def test_nothing_else_is_ever_given_up(tmp_path: Path, kind: str) -> None:
    journal = Journal(tmp_path, max_bytes=MAX_BYTES)
    for each in range(100 * LINES):
        journal.append(event(each, kind))
    thinning = journal.thin(now=NOW)
    assert thinning == Thinning(
        dropped=0, first=None, last=None, size_bytes=size_of(tmp_path), is_too_large=True
    )
    assert journal.thin(now=NOW + timedelta(minutes=1)) is None
    journal.close()
    assert len(all_of(tmp_path)) == 100 * LINES


def test_what_was_handed_over_is_neither_counted_nor_given_again(tmp_path: Path) -> None:
    journal = fill(tmp_path, number=100 * LINES)
    assert hand_over(journal, 4) == [0, 1, 2, 3]
    thinning = journal.thin(now=NOW)
    assert thinning is not None
    assert thinning.first == BEGINNING + timedelta(seconds=4)
    assert [each for each in hand_over(journal) if each < 10] == [5]


def test_what_another_process_writes_now_is_left_alone(tmp_path: Path) -> None:
    other = Journal(tmp_path, max_bytes=128 * MAX_BYTES)
    for each in range(100 * LINES):
        other.append(event(each))
    (own,) = segments(tmp_path)
    journal = Journal(tmp_path, max_bytes=MAX_BYTES)
    thinning = journal.thin(now=NOW)
    assert thinning is not None
    assert thinning.is_too_large
    assert segments(tmp_path) == [own]
    other.close()
    thinning = journal.thin(now=NOW + timedelta(minutes=1))
    assert thinning is not None
    assert thinning.dropped == 100 * LINES
    assert not thinning.is_too_large


def test_only_who_hands_over_gives_up_and_not_at_every_look(tmp_path: Path) -> None:
    journal = fill(tmp_path, number=100 * LINES)
    other = Journal(tmp_path, max_bytes=MAX_BYTES)
    assert hand_over(other, 1) == [0]
    assert journal.thin(now=NOW) is None
    assert other.thin(now=NOW) is not None
    for each in range(100 * LINES, 200 * LINES):
        journal.append(event(each))
    assert other.thin(now=NOW + timedelta(seconds=1)) is None
    assert other.thin(now=NOW + timedelta(seconds=6)) is not None


def test_a_line_that_cannot_be_understood_stays(tmp_path: Path) -> None:
    (tmp_path / "1-1.jsonl").write_bytes(
        b"nonsense\n" + write_event(event(1)) * 100 * LINES + write_event(event(2))[:20]
    )
    journal = Journal(tmp_path, max_bytes=MAX_BYTES)
    thinning = journal.thin(now=NOW)
    assert thinning is not None
    assert thinning.dropped == 100 * LINES
    (thinned,) = segments(tmp_path)
    lines = thinned.read_bytes().splitlines()
    assert lines[0] == b"nonsense"
    assert len(lines) == 2


def test_a_disk_without_room_keeps_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = fill(tmp_path, number=100 * LINES)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        thinning = journal.thin(now=NOW)
    assert thinning is not None
    assert thinning.is_too_large
    assert thinning.dropped == 0
    journal.close()
    assert not list(tmp_path.glob("*.new"))
    assert len(all_of(tmp_path)) == 100 * LINES


def test_a_kill_while_it_gives_up_loses_nothing_that_must_stay(tmp_path: Path) -> None:
    directory = tmp_path / "journal"

    def prepare() -> None:
        shutil.rmtree(directory, ignore_errors=True)
        journal = fill(directory, number=4 * LINES)
        hand_over(journal, 3)
        journal.close()

    def thin() -> None:
        Journal(directory, max_bytes=2 * LINES * LINE_BYTES).thin(now=NOW)

    outcomes = set()
    for _ in every_kill(prepare, thin):
        found = all_of(directory)
        ids = [each.id for each in found]
        assert len(ids) == len(set(ids))
        kept = [each.id.int for each in found if each.kind is EventKind.LOGIN_REFUSED]
        assert kept == list(range(5, 4 * LINES, 5))
        told = sum(
            int(str(each.facts["count"]))
            for each in found
            if each.kind is EventKind.JOURNAL_THINNED
        )
        files = [each for each in found if each.kind is EventKind.FILE_WRITTEN]
        assert told + len(files) + len(kept) == 4 * LINES - 3
        assert {path.name for path in directory.iterdir()} == {"news", "shipper"}
        outcomes.add(told)
    assert 0 in outcomes
    assert len(outcomes) > 2


def test_its_size_and_its_oldest_event_are_told(tmp_path: Path) -> None:
    nothing = JournalState(size_bytes=0, segments=0, oldest_at=None)
    assert measure_journal(tmp_path / "none") == nothing
    journal = fill(tmp_path, number=3 * LINES)
    state = measure_journal(tmp_path)
    assert state == JournalState(
        size_bytes=size_of(tmp_path), segments=len(segments(tmp_path)), oldest_at=BEGINNING
    )
    hand_over(journal, 4)
    later = measure_journal(tmp_path)
    assert later.oldest_at == BEGINNING + timedelta(seconds=4)
    assert later.size_bytes < state.size_bytes
    while hand_over(journal):
        pass
    assert measure_journal(tmp_path) == nothing
