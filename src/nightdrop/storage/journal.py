# SPDX-License-Identifier: Apache-2.0
"""The journal: events on this node's disk until the database has them.

Shape:   a directory of segments ``<ns since 1970>-<process id>.jsonl``, each written by one
         process, which holds a lock on it as long as it may append; ``<segment>.position``
         says how many bytes of it were handed over; ``shipper`` is the lock of the one that
         hands over. A segment whose writer is gone is removed when all of it was handed over.

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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nightdrop.core.events import Event, NotAnEvent, read_event, write_event

_SEGMENT_BYTES: Final = 16 * 1024 * 1024
_READ_BYTES: Final = 1024 * 1024
_SEGMENT_SUFFIX: Final = ".jsonl"
_POSITION_SUFFIX: Final = ".position"
_NEW_SUFFIX: Final = ".new"
_SHIPPER: Final = "shipper"


class Batch:
    """Events that wait to be handed over. `commit` says that they were, for good."""

    def __init__(self, events: Sequence[Event], *, positions: "Mapping[Path, _Position]") -> None:
        self.events: Final = tuple(events)
        self._positions = positions

    def commit(self) -> None:
        """Do not give these events again. Raises OSError when that cannot be kept."""
        for segment, position in self._positions.items():
            _keep_position(segment, position)


@dataclass(frozen=True, slots=True)
class _Position:
    offset: int
    is_finished: bool


class Journal:
    """The journal in `directory`, as one process has it; made after a fork. Threads may share it.

    `dropped` counts events that could not be kept; `unreadable`, lines met that are no events.
    """

    def __init__(self, directory: Path) -> None:
        """Make the directory unless it is there; a segment is made by the first append."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.dropped = 0
        self.unreadable = 0
        self._directory: Final = directory
        self._turn = threading.Lock()
        self._news = threading.Event()
        self._segment: int | None = None
        self._segment_bytes = 0
        self._shipper: int | None = None

    def append(self, event: Event) -> None:
        """Keep an event. Never raises for a disk that fails or is full, see `dropped`."""
        line = write_event(event)
        with self._turn:
            try:
                self._append(line)
            except OSError:
                self.dropped += 1
        self._news.set()

    def wait(self, timeout: float) -> bool:
        """Wait until something is appended here, or `wake` is called, or `timeout` seconds pass.

        Returns: whether anything was. Another process's appending does not end the wait.
        """
        is_news = self._news.wait(timeout)
        self._news.clear()
        return is_news

    def wake(self) -> None:
        """End a `wait`, now or the next one."""
        self._news.set()

    def pending(self, limit: int) -> Batch:
        """Return up to `limit` events that wait, of all processes of this node, oldest first.

        Returns: an empty batch also when another process is the one that hands over.
        """
        if not self._may_ship():
            return Batch((), positions={})
        events: list[Event] = []
        positions: dict[Path, _Position] = {}
        for path in sorted(self._directory.glob(f"*{_SEGMENT_SUFFIX}")):
            found, position = self._read_segment(path, limit - len(events))
            if found:
                events += found
                positions[path] = position
            else:
                _keep_position(path, position)
            if len(events) >= limit:
                break
        return Batch(events, positions=positions)

    def close(self) -> None:
        """End this process's segment, and let another process hand over."""
        with self._turn:
            self._end_segment()
            if self._shipper is not None:
                os.close(self._shipper)
                self._shipper = None

    def _append(self, line: bytes) -> None:
        if self._segment_bytes >= _SEGMENT_BYTES:
            self._end_segment()
        segment = self._segment if self._segment is not None else self._begin_segment()
        written = 0
        try:
            while written < len(line):
                written += os.write(segment, line[written:])
        except OSError:
            self._drop_half_line(segment)
            raise
        self._segment_bytes += written

    def _drop_half_line(self, segment: int) -> None:
        """Keep half a line from spoiling the next one, too."""
        try:
            os.ftruncate(segment, self._segment_bytes)
        except OSError:
            self._end_segment()

    def _begin_segment(self) -> int:
        path = self._directory / f"{time.time_ns():020}-{os.getpid()}{_SEGMENT_SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        # A segment that can be seen and is not locked has lost its writer: so lock it first.
        unseen = path.with_suffix(_NEW_SUFFIX)
        segment = os.open(unseen, flags, 0o600)
        try:
            fcntl.flock(segment, fcntl.LOCK_EX)
            unseen.rename(path)
        except OSError:
            os.close(segment)
            raise
        self._segment = segment
        self._segment_bytes = 0
        return segment

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
        return True

    def _read_segment(self, path: Path, limit: int) -> tuple[list[Event], _Position]:
        offset = _read_position(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # Asked before reading: what a writer appends after that is still read below.
            is_ended = _is_ended(descriptor)
            lines, offset = _read_lines(descriptor, offset, limit)
            is_finished = is_ended and not _has_line(descriptor, offset)
        finally:
            os.close(descriptor)
        events: list[Event] = []
        for line in lines:
            try:
                events.append(read_event(line))
            except NotAnEvent:
                self.unreadable += 1
        return events, _Position(offset=offset, is_finished=is_finished)


def _is_ended(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_lines(descriptor: int, offset: int, limit: int) -> tuple[list[bytes], int]:
    """Return up to `limit` whole lines from `offset` on, and where they end."""
    lines: list[bytes] = []
    rest = b""
    while len(lines) < limit:
        chunk = os.pread(descriptor, _READ_BYTES, offset + len(rest))
        if not chunk:
            break
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole[: limit - len(lines)]:
            lines.append(line)
            offset += len(line) + 1
    return lines, offset


def _has_line(descriptor: int, offset: int) -> bool:
    """Say whether a whole line follows; a writer that is gone leaves at most a part of one."""
    lines, _ = _read_lines(descriptor, offset, 1)
    return bool(lines)


def _position_file(segment: Path) -> Path:
    return segment.with_suffix(_POSITION_SUFFIX)


def _read_position(segment: Path) -> int:
    with suppress(FileNotFoundError, ValueError):
        return int(_position_file(segment).read_bytes())
    return 0


def _keep_position(segment: Path, position: _Position) -> None:
    """Keep how much of a segment was handed over; remove it when that is all there will be."""
    path = _position_file(segment)
    if position.is_finished:
        segment.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    elif position.offset != _read_position(segment):
        new = path.with_suffix(_NEW_SUFFIX)
        new.write_bytes(b"%d\n" % position.offset)
        new.replace(path)
