# SPDX-License-Identifier: Apache-2.0
"""Segments: the files that a journal is made of.

Shape:   ``<ns since 1970>-<process id>.jsonl``, one line for each event. Its writer holds a lock
         on it as long as it may append. ``<segment>.position`` says how many bytes of it were
         handed over: 20 digits, a space, their CRC-32 in hex, an end of line. That is
         overwritten in place; one that was half written does not fit its CRC, and then means
         0: what is handed over twice is recognised by its id, what is passed over is lost.
         ``<segment>-thinned.jsonl`` stands in the place of a segment whose events about files
         were given up, see `storage.thinning`.
"""

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

THINNED: Final = "-thinned"
_SUFFIX: Final = ".jsonl"
_POSITION_SUFFIX: Final = ".position"
_NEW_SUFFIX: Final = ".new"
_READ_BYTES: Final = 256 * 1024
_DIGITS: Final = 20


def list_segments(directory: Path) -> list[Path]:
    """Return the segments of all processes of this node, oldest first."""
    return sorted(directory.glob(f"*{_SUFFIX}"))


def begin_segment(directory: Path, *, time_ns: int) -> int:
    """Make a segment and return its descriptor, with the lock; closing it ends the segment."""
    path = directory / f"{time_ns:020}-{os.getpid()}{_SUFFIX}"
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
    return segment


def writer_of(segment: Path) -> str:
    """Return the process id of a segment's writer; its segments follow one another in time."""
    return segment.stem.split("-")[1]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a segment was read: up to `offset`, and whether that is all there will be."""

    reader: "SegmentReader"
    offset: int
    is_finished: bool

    def keep(self) -> None:
        """Do not give again what was read. Raises OSError when that cannot be kept."""
        self.reader.keep(self)


@dataclass(frozen=True, slots=True)
class Portion:
    """Lines of a segment from `offset` on.

    `is_all`: no more follow for now. `has_ended`: none will be appended.
    """

    reader: "SegmentReader"
    offset: int
    lines: list[bytes]
    is_all: bool
    has_ended: bool

    def mark(self, count: int) -> Mark:
        """Return the mark behind the first `count` lines."""
        size_bytes = sum(map(len, self.lines[:count])) + count
        is_finished = self.has_ended and self.is_all and count == len(self.lines)
        return Mark(self.reader, self.offset + size_bytes, is_finished)


class SegmentReader:
    """A segment as whoever hands it over has it open."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._offset = read_position(path)
        self._descriptor: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._position: int | None = None

    def read(self, limit: int) -> Portion:
        """Return up to `limit` lines, from where the last mark that was kept is."""
        descriptor, offset = self._descriptor, self._offset
        if descriptor is None:
            return Portion(self, offset, [], is_all=True, has_ended=False)
        # Asked before reading: what a writer appends after that is still read below.
        has_ended = is_ended(descriptor)
        lines, is_all = read_lines(descriptor, offset, limit)
        return Portion(self, offset, lines, is_all=is_all, has_ended=has_ended)

    def keep(self, mark: Mark) -> None:
        """Keep where to go on; remove the segment when there is nothing more."""
        if self._descriptor is None:
            # Somebody else may hand this segment over by now.
            return
        if mark.is_finished:
            remove_segment(self.path)
            self.close()
        elif mark.offset != self._offset:
            if self._position is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
                self._position = os.open(position_file(self.path), flags, 0o600)
            os.pwrite(self._position, _write_position(mark.offset), 0)
            self._offset = mark.offset

    def close(self) -> None:
        """Read no more, and keep nothing any more."""
        for descriptor in (self._descriptor, self._position):
            if descriptor is not None:
                os.close(descriptor)
        self._descriptor = self._position = None


def is_ended(descriptor: int) -> bool:
    """Say whether the writer of an open segment is gone, or has ended it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_lines(descriptor: int, offset: int, limit: int) -> tuple[list[bytes], bool]:
    """Return up to `limit` whole lines from `offset` on, and whether no more follow.

    A writer that is gone leaves at most a part of a line behind the last.
    """
    lines: list[bytes] = []
    rest = b""
    while chunk := os.pread(descriptor, _READ_BYTES, offset):
        offset += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        lines += whole
        if len(lines) > limit:
            return lines[:limit], False
    return lines, True


def remove_segment(path: Path) -> None:
    """Remove a segment and what was kept about it."""
    path.unlink(missing_ok=True)
    position_file(path).unlink(missing_ok=True)


def position_file(segment: Path) -> Path:
    """Return where it is kept how much of a segment was handed over."""
    return segment.with_suffix(_POSITION_SUFFIX)


def thinned_file(segment: Path) -> Path:
    """Return what stands in the place of a segment after it was thinned."""
    return segment.with_name(f"{segment.stem}{THINNED}{_SUFFIX}")


def draft_file(segment: Path) -> Path:
    """Return where a segment is made before it can be seen as one."""
    return segment.with_suffix(_NEW_SUFFIX)


def read_position(segment: Path) -> int:
    """Return how much of a segment was handed over, for sure."""
    with suppress(FileNotFoundError):
        written = position_file(segment).read_bytes()
        digits = written[:_DIGITS]
        if digits.isdigit() and written == _write_position(int(digits)):
            return int(digits)
    return 0


def _write_position(offset: int) -> bytes:
    digits = b"%0*d" % (_DIGITS, offset)
    return b"%s %08x\n" % (digits, crc32(digits))
