# SPDX-License-Identifier: Apache-2.0
"""How much a district uses of its quota: a count that all processes and nodes share.

Shape:   in the file ``writers``, six decimal numbers of 20 digits: bytes and files outside of
         sealed epochs, bytes and files in them, how often ``/upload`` was gone through to
         count, and when that was last done (ns since 1970, by the clock of the file system).
         The count lies in the very file whose lock protects it, so that on NFS whoever gets
         the lock sees the count as well.

Every directory and every file below ``/upload`` counts as one file; a file's bytes are its
size, holes included. The count may be wrong: a process was killed between a change and its
counting, several handles wrote to one file, somebody removed files by hand. So nothing is
refused for a quota before ``/upload`` was gone through anew (at most once a minute), and the
scan does that from time to time. A file without numbers counts as nothing, until then.

Keeping the count never fails towards its caller: an upload does not end because of it.
"""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from nightdrop.core.epochs import is_epoch_name
from nightdrop.core.paths import ServedPath
from nightdrop.core.quota import Amount, Usage
from nightdrop.storage.confine import open_file
from nightdrop.storage.errors import NoSuchDistrict, QuotaFilesRefused, QuotaRefused
from nightdrop.storage.fence import has_fence
from nightdrop.storage.locks import look_at_seal
from nightdrop.storage.modes import is_whole
from nightdrop.storage.place import COUNTING, WRITERS, Place
from nightdrop.storage.walk import walk
from nightdrop.storage.writers import has_writers, writers_turn

Result = TypeVar("Result")

#: What the district may have now; asked each time, so that a change works at once. None is
#: for who may have anything.
FindQuota = Callable[[], Amount | None]

#: Before a refusal the count is believed if it is younger than this.
BELIEVED_SECONDS: Final = 60.0

_NUMBERS: Final = 6
_LINE: Final = b" ".join([b"%020d"] * _NUMBERS) + b"\n"
_LINE_BYTES: Final = 21 * _NUMBERS
_NANOSECONDS: Final = 1_000_000_000
#: How often a count is begun again because something was changed meanwhile.
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Count:
    """What the count says; `number` is how often it was made anew, `counted_ns` when last."""

    usage: Usage = field(default_factory=Usage)
    number: int = 0
    counted_ns: int = 0


def no_quota() -> None:
    """Let a district have anything."""


def read_count(turn: int) -> Count:
    """Return the count, within `writers_turn`. What cannot be read counts as nothing."""
    try:
        numbers = [int(number) for number in os.pread(turn, _LINE_BYTES, 0).split()]
        open_bytes, open_files, sealed_bytes, sealed_files, number, counted_ns = numbers
    except (OSError, ValueError):
        return Count()
    usage = Usage(Amount(open_bytes, open_files), Amount(sealed_bytes, sealed_files))
    return Count(usage, number, counted_ns)


def keep_usage(turn: int, count: Count, usage: Usage) -> None:
    """Change the count to `usage`, within `writers_turn`."""
    _keep(turn, Count(usage, count.number, count.counted_ns))


def look_at_count(place: Place) -> Count:
    """Return the count as it is, without waiting for anybody; for showing it.

    Raises:  NoSuchDistrict.
    """
    with place.directory() as root_fd:
        try:
            descriptor = os.open(
                WRITERS, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root_fd
            )
        except FileNotFoundError:
            return Count()
    try:
        return read_count(descriptor)
    finally:
        os.close(descriptor)


def look_at_usage(place: Place) -> Usage:
    """Return what is counted, for showing it; before that was ever done, what is there.

    Changes nothing. Raises NoSuchDistrict, OSError.
    """
    count = look_at_count(place)
    return count.usage if count.number else measure_upload(place)


def find_files_refusal(
    count: Count, quota: Amount | None, path: ServedPath
) -> QuotaFilesRefused | None:
    """Return why there may not be one file or directory more; None when there may."""
    if quota is None:
        return None
    used = count.usage.count_against(quota)
    return QuotaFilesRefused(path, quota=quota, used=used) if used.files >= quota.files else None


@contextmanager
def freeing(turn: int, directory_fd: int, name: str) -> Iterator[None]:
    """Take an entry off the count that is removed or replaced meanwhile, within `writers_turn`.

    The bytes of a file that is being written are taken off by its last writer.
    """
    amount = _weigh(directory_fd, name)
    yield
    if amount is not None:
        count = read_count(turn)
        keep_usage(turn, count, count.usage.freeing(amount))


def note_change(place: Place, change: Callable[[Usage], Usage]) -> None:
    """Change the count by what was done already."""
    with suppress(OSError, NoSuchDistrict), writers_turn(place) as turn:
        count = read_count(turn)
        keep_usage(turn, count, change(count.usage))


def ask_twice(place: Place, work: Callable[[], Result]) -> Result:
    """Do `work`, which a quota may refuse before it has done anything.

    Before it is refused for good, ``/upload`` is counted anew, unless that was just done.
    """
    try:
        return work()
    except QuotaRefused:
        is_new = False
        # On a disk that cannot be read, or for a tree deeper than any, the count stays as it is.
        with suppress(OSError):
            is_new = count_anew(place, older_than_seconds=BELIEVED_SECONDS)
        if not is_new:
            raise
        return work()


def count_anew(place: Place, *, older_than_seconds: float) -> bool:
    """Go through ``/upload`` and correct the count, if it is older than this.

    Nobody who reads or writes has to wait for it; who counts at the same time waits for the
    one that began, and takes its result. What changes while it is counted may be missed.

    Returns: whether the count is another than when this was called; False when it is younger.
    Raises:  NoSuchDistrict, OSError.
    """
    before = look_at_count(place)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with place.directory() as root_fd:
        descriptor = os.open(COUNTING, flags, 0o600, dir_fd=root_fd)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if look_at_count(place).number != before.number:
            return True
        age_ns = _read_clock(descriptor) - before.counted_ns
        if 0 <= age_ns < older_than_seconds * _NANOSECONDS:
            return False
        _count_steadily(place, descriptor)
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
    return True


def measure_upload(place: Place) -> Usage:
    """Go through ``/upload`` and return what is there. Raises OSError, NoSuchDistrict."""
    sealed: dict[str, bool] = {}
    size_bytes, files = [0, 0], [0, 0]
    with place.upload() as upload_fd:
        for found in walk(upload_fd):
            if not found.parts:
                continue
            top = found.parts[0]
            if top not in sealed:
                sealed[top] = is_epoch_name(top) and _is_sealed(place, top)
            side = sealed[top]
            files[side] += 1
            if not found.is_directory:
                size_bytes[side] += found.stat.st_size
    return Usage(Amount(size_bytes[False], files[False]), Amount(size_bytes[True], files[True]))


def _count_steadily(place: Place, clock: int) -> None:
    """Count until nothing was changed meanwhile; in the end take it as it is."""
    for left in reversed(range(_TRIES)):
        before = look_at_count(place).usage
        usage = measure_upload(place)
        with writers_turn(place) as turn:
            count = read_count(turn)
            if count.usage == before or not left:
                _keep(turn, Count(usage, count.number + 1, _read_clock(clock)))
                return


def _keep(turn: int, count: Count) -> None:
    usage = count.usage
    line = _LINE % (
        usage.open.size_bytes,
        usage.open.files,
        usage.sealed.size_bytes,
        usage.sealed.files,
        count.number,
        count.counted_ns,
    )
    with suppress(OSError):
        os.pwrite(turn, line, 0)


def _read_clock(descriptor: int) -> int:
    """Return the time now by the clock of the file system, in nanoseconds since 1970 UTC."""
    os.utime(descriptor)
    return os.fstat(descriptor).st_mtime_ns


def _is_sealed(place: Place, epoch: str) -> bool:
    try:
        if has_fence(place, epoch):
            return True
    except OSError:
        # No directory.
        return False
    stored = look_at_seal(place, epoch)
    return stored is not None and stored.record is not None


def _weigh(directory_fd: int, name: str) -> Amount | None:
    try:
        found = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    except OSError:
        return None
    if stat.S_ISREG(found.st_mode) and not _is_written(directory_fd, name, found.st_mode):
        return Amount(found.st_size, 1)
    return Amount(0, 1)


def _is_written(directory_fd: int, name: str, mode: int) -> bool:
    if is_whole(mode):
        return False
    try:
        descriptor = open_file(directory_fd, name, os.O_RDWR)
    except OSError:
        # Put there by hand: no writer of ours takes its own right to write away.
        return False
    try:
        return has_writers(descriptor)
    finally:
        os.close(descriptor)
