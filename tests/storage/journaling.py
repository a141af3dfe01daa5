# SPDX-License-Identifier: Apache-2.0
"""Events with numbers, and what a journal does with them."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from nightdrop.core.events import Event, EventKind
from nightdrop.storage.journal import Journal
from storage.killing import run_killed

BEGINNING = datetime(2026, 9, 28, 2, 14, 7, tzinfo=UTC)


def event(number: int, kind: EventKind | str = EventKind.FILE_WRITTEN) -> Event:
    """Return an event that happened in the second `number`."""
    return Event(
        id=UUID(int=number),
        at=BEGINNING + timedelta(seconds=number),
        kind=kind,
        facts={"size_bytes": number},
    )


def numbers(journal: Journal, limit: int = 1000) -> list[int]:
    """Return which events wait, without handing them over."""
    return [each.id.int for each in journal.pending(limit).events]


def hand_over(journal: Journal, limit: int = 1000) -> list[int]:
    """Hand events over, and return which they were."""
    batch = journal.pending(limit)
    batch.commit()
    return [each.id.int for each in batch.events]


def segments(directory: Path) -> list[Path]:
    """Return the segments, oldest first."""
    return sorted(directory.glob("*.jsonl"))


def in_another_process(directory: Path, *appended: int, dies: bool) -> None:
    """Append events in a process that then ends, or is killed while it has the segment open."""

    def work() -> None:
        journal = Journal(directory)
        for number in appended:
            journal.append(event(number))
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)

    assert run_killed(work, before_call=10_000) is dies
