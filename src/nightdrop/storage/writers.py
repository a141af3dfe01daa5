# SPDX-License-Identifier: Apache-2.0
"""Who writes to a file, and when it has arrived whole; `modes` says how that is kept.

Several handles may write to one file at one time (lftp sends segments that way), in several
processes. Each holds a shared ``flock`` on the file, which tells a handle whether it is the only
one left, and is gone when its process is. Joining and leaving are done one at a time in a
district, under the lock file ``writers``: the count in the mode bits and the locks then always
belong together.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nightdrop.core.paths import ServedPath
from nightdrop.storage.errors import TooManyWriters
from nightdrop.storage.modes import (
    MAX_WRITERS,
    WHOLE,
    WHOLE_LATE,
    WRITING,
    is_late,
    is_whole,
    read_further_writers,
    write_further_writers,
)
from nightdrop.storage.place import WRITERS, Place


@dataclass(frozen=True, slots=True)
class Left:
    """What became of a file by a writer's leaving it.

    `is_whole`: all of its writers have left, and cleanly. `is_last`: all have left.
    """

    is_whole: bool
    is_last: bool


@contextmanager
def writers_turn(place: Place) -> Iterator[int]:
    """Have the district's turn to change who writes to which file. Keep it short.

    Yields:  the open lock file, which holds the count of what is used; see `usage`.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with place.directory() as root_fd:
        descriptor = os.open(WRITERS, flags, 0o600, dir_fd=root_fd)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def join(descriptor: int, *, path: ServedPath) -> None:
    """Become a writer of an open file, within `writers_turn`.

    The first writer of a file starts it afresh, whatever became of those before.

    Raises:  TooManyWriters.
    """
    if _is_alone(descriptor):
        _set_mode(descriptor, WRITING)
    else:
        further = read_further_writers(_mode(descriptor)) + 1
        if further >= MAX_WRITERS:
            raise TooManyWriters(path, limit=MAX_WRITERS)
        _set_mode(descriptor, write_further_writers(further))
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def leave(descriptor: int, *, is_clean: bool) -> Left:
    """Stop being a writer of an open file, within `writers_turn`.

    A writer that does not leave cleanly keeps its count, as one does whose process is killed.
    """
    further = read_further_writers(_mode(descriptor))
    is_last = _is_alone(descriptor)
    if is_last:
        is_complete = is_clean and further == 0
        _set_mode(descriptor, WHOLE if is_complete else WRITING)
    else:
        is_complete = False
        if is_clean:
            _set_mode(descriptor, write_further_writers(max(further - 1, 0)))
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return Left(is_whole=is_complete, is_last=is_last)


def has_writers(descriptor: int) -> bool:
    """Say whether anybody writes to a file that is open here and was not joined.

    To be asked within `writers_turn`.
    """
    try:
        return not _is_alone(descriptor)
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def mark_late(descriptor: int) -> None:
    """Note on a whole file that it came after its epoch's marker, within `writers_turn`."""
    if is_whole(_mode(descriptor)):
        _set_mode(descriptor, WHOLE_LATE)


def mark_on_time(descriptor: int) -> None:
    """Take `mark_late` back, within `writers_turn`."""
    if is_late(_mode(descriptor)):
        _set_mode(descriptor, WHOLE)


def _is_alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _mode(descriptor: int) -> int:
    return stat.S_IMODE(os.fstat(descriptor).st_mode)


def _set_mode(descriptor: int, mode: int) -> None:
    if _mode(descriptor) != mode:
        os.fchmod(descriptor, mode)
