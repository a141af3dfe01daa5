# SPDX-License-Identifier: Apache-2.0
"""The journal: events on this node's disk until the database has them.

Shape:   a directory of segments (`storage.segments`), each written by one process; ``shipper``
         is the lock of the one process that hands over, and ``news`` the bell that calls it. A
         segment whose writer is gone is removed when all of it was handed over.

Appending never fails towards its caller: an upload does not end because the journal's disk is
full. What could not be kept is counted. A kill loses nothing that was appended; a power cut may
lose the last moments, for an append is not brought to the disk.
Deliberately absent: deciding what an event means, and removing duplicates (`Event.id` is for
that, at the other end).
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from typing import Final

from nightdrop.core.events import URGENT_KINDS, Event, NotAnEvent, read_event, write_event
from nightdrop.storage.bell import Bell
from nightdrop.storage.journal_size import Thinning, forget_thinned, sweep_journal, thin_journal
from nightdrop.storage.segments import Mark, Portion, SegmentReader, begin_segment, writer_of

_MAX_BYTES: Final = 1024 * 1024 * 1024
#: A segment is ended at this size, or at a smaller one where the whole journal may not be
#: large: only a segment that was ended can be thinned, and every process has one that is not.
_SEGMENT_BYTES: Final = 16 * 1024 * 1024
_LEAST_SEGMENTS: Final = 64
#: How often the whole journal is measured.
_MEASURED_EVERY: Final = timedelta(seconds=5)
_SHIPPER: Final = "shipper"
_NEWS: Final = "news"


class Batch:
    """Events that wait to be handed over. `commit` says that they were, for good."""

    def __init__(
        self, events: Sequence[Event], *, marks: Sequence[Mark], turn: threading.Lock
    ) -> None:
        self.events: Final = tuple(events)
        self._marks = marks
        self._turn = turn

    def commit(self) -> None:
        """Do not give these events again. Raises OSError when that cannot be kept."""
        with self._turn:
            for mark in self._marks:
                mark.keep()


class Journal:
    """The journal in `directory`, as one process has it; made after a fork. Threads may share it.

    `dropped` counts events that could not be kept; `unreadable`, lines met that are no events.
    """

    def __init__(self, directory: Path, *, max_bytes: int = _MAX_BYTES) -> None:
        """Make the directory unless it is there; a segment is made by the first append."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.dropped = 0
        self.unreadable = 0
        self._directory: Final = directory
        self._max_bytes: Final = max_bytes
        self._end_bytes: Final = min(_SEGMENT_BYTES, max_bytes // _LEAST_SEGMENTS)
        self._bell = Bell(directory / _NEWS)
        self._appending = threading.Lock()
        self._segment: int | None = None
        self._segment_bytes = 0
        self._shipping = threading.Lock()
        self._shipper: int | None = None
        self._readers: dict[Path, SegmentReader] = {}
        self._measured_at: datetime | None = None
        self._was_too_large = False

    def append(self, event: Event) -> None:
        """Keep an event. Never raises for a disk that fails or is full, see `dropped`."""
        line = write_event(event)
        with self._appending:
            try:
                self._append(line)
            except OSError:
                self.dropped += 1
            if event.kind in URGENT_KINDS:
                self._bell.ring()

    def wait(self, timeout: float) -> bool:
        """Wait for an urgent event of any process of this node, or `wake`, or `timeout` seconds.

        A process that does not hand over waits for `wake` and the time alone. An event that
        is not urgent ends no wait: look again after a second.

        Returns: whether anything was.
        """
        return self._bell.wait(timeout, is_listener=self._shipper is not None)

    def wake(self) -> None:
        """End a `wait` of this process, now or the next one."""
        self._bell.wake()

    def pending(self, limit: int) -> Batch:
        """Return up to `limit` events that wait, of all processes of this node, oldest first.

        Returns: an empty batch also when another process is the one that hands over.
        """
        with self._shipping:
            streams = self._open_streams(limit) if self._may_ship() else []
            events = _merge(streams, limit)
            marks = [mark for stream in streams for mark in stream.settle()]
            if not events:
                # Nobody will commit lines that are none, and segments that are empty.
                for mark in marks:
                    mark.keep()
        return Batch(events, marks=marks, turn=self._shipping)

    def thin(self, *, now: datetime) -> Thinning | None:
        """Give up the oldest events about files if the journal is larger than it may be.

        Call it before each `pending`: it measures every five seconds only. What it gives up
        takes a second for each segment.

        Returns: None when there is nothing new to tell.
        """
        with self._shipping:
            measured_at = self._measured_at
            is_early = measured_at is not None and abs(now - measured_at) < _MEASURED_EVERY
            if is_early or not self._may_ship():
                return None
            self._measured_at = now
            thinning = thin_journal(self._directory, max_bytes=self._max_bytes, now=now)
            was_too_large = self._was_too_large
            self._was_too_large = thinning is not None and thinning.is_too_large
            if thinning is None or thinning.dropped:
                return thinning
            return None if was_too_large else thinning

    def close(self) -> None:
        """End this process's segment, and let another process hand over."""
        with self._appending:
            self._end_segment()
            self._bell.close()
        with self._shipping:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()
            if self._shipper is not None:
                os.close(self._shipper)
                self._shipper = None

    def _append(self, line: bytes) -> None:
        if self._segment_bytes >= self._end_bytes:
            self._end_segment()
        if self._segment is None:
            self._segment = begin_segment(self._directory, time_ns=time.time_ns())
        written = 0
        try:
            while written < len(line):
                written += os.write(self._segment, line[written:])
        except OSError:
            self._drop_half_line(self._segment)
            raise
        self._segment_bytes += written

    def _drop_half_line(self, segment: int) -> None:
        """Keep half a line from spoiling the next one, too."""
        try:
            os.ftruncate(segment, self._segment_bytes)
        except OSError:
            self._end_segment()

    def _end_segment(self) -> None:
        if self._segment is not None:
            os.close(self._segment)
        self._segment = None
        self._segment_bytes = 0

    def _may_ship(self) -> bool:
        if self._shipper is not None:
            return True
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._directory / _SHIPPER, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._shipper = descriptor
        sweep_journal(self._directory)
        return True

    def _open_readers(self) -> Iterator[SegmentReader]:
        """Yield a reader of each segment, oldest first; those of segments that are gone go."""
        segments = forget_thinned(self._directory)
        for path in self._readers.keys() - segments:
            self._readers.pop(path).close()
        for path in segments:
            if path not in self._readers:
                self._readers[path] = SegmentReader(path)
            yield self._readers[path]

    def _open_streams(self, limit: int) -> "list[_Stream]":
        """Return what each process has written next; of each, `limit` lines are looked at."""
        streams: dict[str, _Stream] = {}
        for reader in self._open_readers():
            stream = streams.setdefault(writer_of(reader.path), _Stream(self._read_line, limit))
            stream.readers.append(reader)
        return list(streams.values())

    def _read_line(self, line: bytes) -> Event | None:
        """Return the event that a line is; None for one that is none."""
        try:
            return read_event(line)
        except NotAnEvent:
            self.unreadable += 1
            return None


class _Stream:
    """What one process has written and nobody has handed over, in its order.

    `readers` are those of its segments, oldest first.
    """

    def __init__(self, read_line: Callable[[bytes], Event | None], limit: int) -> None:
        self.readers: list[SegmentReader] = []
        self._read_line = read_line
        self._limit = limit
        self._portions: list[Portion] = []
        self._taken = 0
        self._next: Event | None = None

    def peek(self) -> Event | None:
        """Return the next event; None when there is none."""
        while self._next is None and (portion := self._find_portion()) is not None:
            self._next = self._read_line(portion.lines[self._taken])
            # A line that is no event is passed over.
            self._taken += self._next is None
        return self._next

    def take(self) -> None:
        """Pass over the event that `peek` returned."""
        self._next = None
        self._taken += 1

    def settle(self) -> list[Mark]:
        """Return the marks behind what was taken."""
        return [
            portion.mark(self._taken if portion is self._portions[-1] else len(portion.lines))
            for portion in self._portions
        ]

    def _find_portion(self) -> Portion | None:
        """Return the portion in which the next line is; None when no more is to be had now."""
        while True:
            if self._portions:
                portion = self._portions[-1]
                if self._taken < len(portion.lines):
                    return portion
                if not portion.is_all:
                    return None
            if not self.readers:
                return None
            self._portions.append(self.readers.pop(0).read(self._limit))
            self._taken = 0


def _merge(streams: Sequence[_Stream], limit: int) -> list[Event]:
    """Take up to `limit` events in the order in which they happened.

    A district's epochs must become known in that order, whichever processes sealed them. Of
    each process as many lines were looked at as are taken of all of them together.
    """
    heads = [(event.at, number) for number, each in enumerate(streams) if (event := each.peek())]
    heapify(heads)
    events: list[Event] = []
    while heads and len(events) < limit:
        _, number = heads[0]
        stream = streams[number]
        if (event := stream.peek()) is not None:
            events.append(event)
            stream.take()
        following = stream.peek()
        if following is not None:
            heapreplace(heads, (following.at, number))
        else:
            heappop(heads)
    return events
