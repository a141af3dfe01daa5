# SPDX-License-Identifier: Apache-2.0
"""What an open file has claimed of its district's quota: up to where it may grow unasked.

A claim is made in blocks, so that a WRITE costs one comparison, and is part of the count at
once, so that handles of several processes cannot share out the same room. The last writer of
a file gives back what the file does not fill. Claims of handles that wrote to one file at the
same time may overlap, and those of a process that was killed stay: both are forgotten when
``/upload`` is counted anew.
"""

import os
from functools import partial
from typing import Final

from nightdrop.core.epochs import marker_of
from nightdrop.core.paths import ServedPath
from nightdrop.core.quota import Amount
from nightdrop.storage.errors import QuotaBytesRefused, QuotaFilesRefused
from nightdrop.storage.place import Place
from nightdrop.storage.usage import (
    Count,
    FindQuota,
    ask_twice,
    find_files_refusal,
    keep_usage,
    read_count,
)
from nightdrop.storage.writers import has_writers, writers_turn

#: Claimed beyond what is written, at the most.
BLOCK_BYTES: Final = 8 * 1024 * 1024
#: No more than this part of what is left, so that idle handles do not use a quota up.
_SHARE: Final = 64
#: A marker fits however full the quota is, up to this size.
MARKER_BYTES: Final = 4096
_MARKER_PARTS: Final = 3
_ANY: Final = 1 << 63


class Claim:
    """What one handle has claimed. Up to `end` its file may grow without asking."""

    __slots__ = ("_count", "_find_quota", "_path", "_place", "end")

    def __init__(self, place: Place, path: ServedPath, find_quota: FindQuota) -> None:
        self._place = place
        self._path = path
        self._find_quota = find_quota
        #: The count as it was when something was claimed last.
        self._count = Count()
        self.end = 0

    def begin(self, turn: int) -> QuotaFilesRefused | None:
        """Look at the count before the file is opened, in the same `writers_turn` as `hold`.

        Returns: why the file may not be made, should it not be there.
        """
        self._count = read_count(turn)
        if is_marker(self._path):
            return None
        return find_files_refusal(self._count, self._find_quota(), self._path)

    def hold(self, turn: int, descriptor: int, *, is_new: bool) -> None:
        """Claim a first block for the file, which was opened and joined."""
        count = self._count
        block = _find_block(find_left(count, self._find_quota()))
        keep_usage(turn, count, count.usage.adding(Amount(block, int(is_new))))
        self.end = os.fstat(descriptor).st_size + block

    def grow(self, descriptor: int, end: int) -> None:
        """Claim what is missing for the file to grow to `end`.

        Raises:  QuotaBytesRefused.
        """
        ask_twice(self._place, partial(self._grow, descriptor, end))

    def settle(self, turn: int, descriptor: int) -> None:
        """Give back what the file does not fill: its last writer has left, in this turn.

        What it fills is given back as well if it has no name any more.
        """
        found = os.fstat(descriptor)
        count = read_count(turn)
        filled = found.st_size if found.st_nlink else 0
        end, self.end = max(self.end, found.st_size), found.st_size
        # After a new count nobody knows which part of the claim that saw as filled.
        if end > filled and count.number == self._count.number:
            keep_usage(turn, count, count.usage.freeing(Amount(end - filled)))

    def _grow(self, descriptor: int, end: int) -> None:
        with writers_turn(self._place) as turn:
            count = read_count(turn)
            size_bytes = os.fstat(descriptor).st_size
            is_counted = count.number == self._count.number
            claimed = max(size_bytes, self.end) if is_counted else size_bytes
            missing = end - claimed
            if missing > 0:
                free = MARKER_BYTES if is_marker(self._path) else 0
                quota = self._find_quota()
                left = find_left(count, quota)
                if quota is not None and missing > left and end > free:
                    used = count.usage.count_against(quota)
                    raise QuotaBytesRefused(self._path, quota=quota, used=used)
                block = _find_block(left - missing)
                keep_usage(turn, count, count.usage.adding(Amount(missing + block)))
                claimed = end + block
            self._count = count
            self.end = claimed


def resize(
    place: Place, path: ServedPath, descriptor: int, size_bytes: int, *, find_quota: FindQuota
) -> None:
    """Make an open file that was not joined this long, and count that.

    Raises:  QuotaBytesRefused, OSError.
    """
    ask_twice(place, partial(_resize, place, path, descriptor, size_bytes, find_quota))


def _resize(
    place: Place, path: ServedPath, descriptor: int, size_bytes: int, find_quota: FindQuota
) -> None:
    with writers_turn(place) as turn:
        count = read_count(turn)
        growth = size_bytes - os.fstat(descriptor).st_size
        quota = find_quota()
        if quota is not None and growth > find_left(count, quota):
            used = count.usage.count_against(quota)
            raise QuotaBytesRefused(path, quota=quota, used=used)
        os.ftruncate(descriptor, size_bytes)
        if growth > 0:
            keep_usage(turn, count, count.usage.adding(Amount(growth)))
        elif not has_writers(descriptor):
            keep_usage(turn, count, count.usage.freeing(Amount(-growth)))


def is_marker(path: ServedPath) -> bool:
    """Say whether a file is where the marker of an epoch would be, or will be by a rename."""
    return len(path.parts) == _MARKER_PARTS and marker_of(path.name) is not None


def find_left(count: Count, quota: Amount | None) -> int:
    """Return how many bytes a quota has room for."""
    if quota is None:
        return _ANY
    return max(quota.size_bytes - count.usage.count_against(quota).size_bytes, 0)


def _find_block(left_bytes: int) -> int:
    return min(BLOCK_BYTES, max(left_bytes, 0) // _SHARE)
