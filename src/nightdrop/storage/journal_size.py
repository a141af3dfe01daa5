# SPDX-License-Identifier: Apache-2.0
"""How large a journal is, and what it gives up when it is too large.

1. Oldest first, a segment that its writer has ended is copied without its events about files;
   what was given up is told by an event in the copy.
2. The copy is brought to the disk and gets its name, which the segment's own name is part of.
3. The segment is removed; after a kill before that, `forget_thinned` does it, so that whoever
   hands over never meets both.

Whoever calls this holds the lock of the one that hands over, and is not handing over.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import uuid5

from nightdrop.core.events import (
    FILE_KINDS,
    Event,
    EventKind,
    NotAnEvent,
    read_event,
    write_event,
)
from nightdrop.storage.segments import (
    THINNED,
    draft_file,
    is_ended,
    list_segments,
    read_lines,
    read_position,
    remove_segment,
    thinned_file,
)

_LINES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalState:
    """What waits in a journal: `size_bytes` in `segments` files, the oldest event from `oldest_at`.

    `oldest_at` is None when nothing waits.
    """

    size_bytes: int
    segments: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinning:
    """What a journal gave up: `dropped` events about files, from the time `first` to `last`.

    `size_bytes` is what is left. `is_too_large` says that it is still more than allowed: the
    rest is never given up, or the disk has no room to do it.
    """

    dropped: int
    first: datetime | None
    last: datetime | None
    size_bytes: int
    is_too_large: bool


def measure_journal(directory: Path) -> JournalState:
    """Return what waits in a journal, without taking part in it; nothing if there is none."""
    size_bytes = count = 0
    oldest: list[datetime] = []
    for path in list_segments(directory):
        try:
            waiting_bytes = path.stat().st_size - read_position(path)
            if waiting_bytes > 0:
                size_bytes += waiting_bytes
                count += 1
                oldest += _find_oldest(path)
        except FileNotFoundError:
            # All of it was handed over just now.
            continue
    return JournalState(size_bytes=size_bytes, segments=count, oldest_at=min(oldest, default=None))


def sweep_journal(directory: Path) -> None:
    """Remove what processes that were killed have left behind and nobody reads."""
    for path in directory.glob(f"*{THINNED}.new"):
        path.unlink()
    for path in directory.glob("*.position"):
        if not path.with_suffix(".jsonl").exists():
            path.unlink()


def forget_thinned(directory: Path) -> list[Path]:
    """Return a journal's segments, oldest first, after removing those that were thinned."""
    segments = list_segments(directory)
    thinned = {path for path in segments if path.stem.endswith(THINNED)}
    if not thinned:
        return segments
    done = [path for path in segments if thinned_file(path) in thinned]
    for path in done:
        remove_segment(path)
    return [path for path in segments if path not in done]


def thin_journal(directory: Path, *, max_bytes: int, now: datetime) -> Thinning | None:
    """Give up events about files, oldest first, until a journal has at most `max_bytes`.

    Returns: None if it has no more than that, or nothing could be given up any more that was
             not before.
    """
    sizes = {path: path.stat().st_size for path in forget_thinned(directory)}
    size_bytes = sum(sizes.values())
    if size_bytes <= max_bytes:
        return None
    given_up = _GivenUp()
    try:
        for path, before_bytes in sizes.items():
            if size_bytes <= max_bytes:
                break
            if not path.stem.endswith(THINNED):
                size_bytes += _thin(path, given_up, now=now) - before_bytes
    except OSError:
        # The disk is full, for one thing. Nothing is lost, and it is tried again.
        return given_up.tell(size_bytes=size_bytes, is_too_large=True)
    return given_up.tell(size_bytes=size_bytes, is_too_large=size_bytes > max_bytes)


@dataclass(slots=True)
class _GivenUp:
    """A count of events, with the earliest and the latest of them."""

    count: int = 0
    earliest: Event | None = None
    latest: Event | None = None

    def add(self, *events: Event, count: int = 1) -> None:
        """Count in `count` events, `events` or those between them."""
        self.count += count
        for event in events:
            if self.earliest is None or event.at < self.earliest.at:
                self.earliest = event
            if self.latest is None or event.at > self.latest.at:
                self.latest = event

    def add_all(self, other: "_GivenUp") -> None:
        """Count in what another one counted."""
        ends = [event for event in (other.earliest, other.latest) if event is not None]
        self.add(*ends, count=other.count)

    def as_event(self, *, now: datetime) -> Event | None:
        """Return the event that tells of it.

        Its id follows from what was given up: who is killed and does it again tells the same.
        """
        if self.earliest is None or self.latest is None:
            return None
        return Event(
            id=uuid5(self.earliest.id, EventKind.JOURNAL_THINNED),
            at=now,
            kind=EventKind.JOURNAL_THINNED,
            facts={
                "count": self.count,
                "first": self.earliest.at.isoformat(),
                "last": self.latest.at.isoformat(),
            },
        )

    def tell(self, *, size_bytes: int, is_too_large: bool) -> Thinning:
        """Return all of it, for whoever asked."""
        return Thinning(
            dropped=self.count,
            first=self.earliest.at if self.earliest else None,
            last=self.latest.at if self.latest else None,
            size_bytes=size_bytes,
            is_too_large=is_too_large,
        )


def _thin(segment: Path, total: _GivenUp, *, now: datetime) -> int:
    """Put a thinned copy in the place of a segment; return how large that is.

    One that is being written is left as it is. Raises OSError.
    """
    descriptor = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not is_ended(descriptor):
            return os.fstat(descriptor).st_size
        given_up = _GivenUp()
        thinned = thinned_file(segment)
        kept = _lines_to_keep(descriptor, read_position(segment), given_up)
        size_bytes = _write_draft(draft_file(thinned), kept, given_up, now=now)
    finally:
        os.close(descriptor)
    draft_file(thinned).rename(thinned)
    _bring_to_disk(thinned.parent)
    remove_segment(segment)
    total.add_all(given_up)
    return size_bytes


def _write_draft(draft: Path, kept: Iterable[bytes], given_up: _GivenUp, *, now: datetime) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            for line in kept:
                file.write(line + b"\n")
            event = given_up.as_event(now=now)
            if event is not None:
                file.write(write_event(event))
            file.flush()
            os.fsync(file.fileno())
            return file.tell()
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _lines_to_keep(descriptor: int, offset: int, given_up: _GivenUp) -> Iterator[bytes]:
    is_all = False
    while not is_all:
        lines, is_all = read_lines(descriptor, offset, _LINES)
        offset += sum(map(len, lines)) + len(lines)
        for line in lines:
            event = _read(line)
            if event is not None and event.kind in FILE_KINDS:
                given_up.add(event)
            else:
                yield line


def _find_oldest(segment: Path) -> list[datetime]:
    descriptor = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    try:
        lines, _ = read_lines(descriptor, read_position(segment), 1)
    finally:
        os.close(descriptor)
    events = (_read(line) for line in lines)
    return [event.at for event in events if event is not None]


def _read(line: bytes) -> Event | None:
    try:
        return read_event(line)
    except NotAnEvent:
        return None


def _bring_to_disk(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
