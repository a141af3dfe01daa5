# SPDX-License-Identifier: Apache-2.0
"""What the file tree refuses, and how errors of the operating system become refusals.

An error that is not in the table below (a dying disk, a missing permission) is not about what
a client asked for: it stays the OSError that it is.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from nightdrop.core.errors import Refusal
from nightdrop.core.paths import NameTooLong, ServedPath
from nightdrop.core.quota import Amount


class PlaceRefused(Refusal):
    """Something about `path` on disk is against the request."""

    code: ClassVar[str] = "place-refused"

    def __init__(self, path: ServedPath) -> None:
        super().__init__(path)
        self.path = path


class NoSuchFile(PlaceRefused):
    """There is nothing there."""

    code: ClassVar[str] = "no-such-file"


class AlreadyThere(PlaceRefused):
    """There is something there already."""

    code: ClassVar[str] = "already-there"


class NotADirectory(PlaceRefused):
    """It, or something on the way to it, is a file."""

    code: ClassVar[str] = "not-a-directory"


class IsADirectory(PlaceRefused):
    """It is a directory, where a file is needed."""

    code: ClassVar[str] = "is-a-directory"


class DirectoryNotEmpty(PlaceRefused):
    """The directory has something in it."""

    code: ClassVar[str] = "directory-not-empty"


class InsideItself(PlaceRefused):
    """A directory was to be moved into itself."""

    code: ClassVar[str] = "inside-itself"


class TreeTooDeep(PlaceRefused):
    """A directory was to be moved to where what it holds would be deeper than allowed."""

    code: ClassVar[str] = "tree-too-deep"


class DiskFull(PlaceRefused):
    """The file system has no room, or no room for its owner."""

    code: ClassVar[str] = "disk-full"
    retry: ClassVar[bool] = True


class QuotaRefused(PlaceRefused):
    """The district's quota has no room for more; `used` counts against `quota`."""

    code: ClassVar[str] = "quota-refused"

    def __init__(self, path: ServedPath, *, quota: Amount, used: Amount) -> None:
        super().__init__(path)
        self.quota = quota
        self.used = used


class QuotaBytesRefused(QuotaRefused):
    """The file would become larger than what is left of the quota's bytes."""

    code: ClassVar[str] = "quota-bytes"


class QuotaFilesRefused(QuotaRefused):
    """There are as many files and directories as the quota has."""

    code: ClassVar[str] = "quota-files"


class FileTooLarge(PlaceRefused):
    """The file would be larger than the file system can hold."""

    code: ClassVar[str] = "file-too-large"


class PlaceUnsupported(PlaceRefused):
    """A link, a device or another thing that is neither file nor directory is in the way."""

    code: ClassVar[str] = "place-unsupported"


class TooManyWriters(PlaceRefused):
    """As many handles write to this file as may; `limit` is that number."""

    code: ClassVar[str] = "too-many-writers"
    retry: ClassVar[bool] = True

    def __init__(self, path: ServedPath, *, limit: int) -> None:
        super().__init__(path)
        self.limit = limit


class HandleClosed(PlaceRefused):
    """The handle was closed before."""

    code: ClassVar[str] = "handle-closed"


class NotOpenForReading(PlaceRefused):
    """The handle was opened for writing only."""

    code: ClassVar[str] = "not-open-for-reading"


class EpochSealed(Refusal):
    """The epoch was sealed at `sealed_at` and does not change any more."""

    code: ClassVar[str] = "epoch-sealed"

    def __init__(self, epoch: str, sealed_at: datetime) -> None:
        super().__init__(epoch, sealed_at)
        self.epoch = epoch
        self.sealed_at = sealed_at


class EpochBusy(Refusal):
    """Something in the entry `epoch` of ``/upload`` is being written, so it keeps its name."""

    code: ClassVar[str] = "epoch-busy"
    retry: ClassVar[bool] = True

    def __init__(self, epoch: str) -> None:
        super().__init__(epoch)
        self.epoch = epoch


class NotSealed(Refusal):
    """No seal is known for `epoch`, or not the one that is meant."""

    code: ClassVar[str] = "not-sealed"

    def __init__(self, epoch: str) -> None:
        super().__init__(epoch)
        self.epoch = epoch


class NoSuchDistrict(Refusal):
    """The tree has no directories for `district`."""

    code: ClassVar[str] = "no-such-district"

    def __init__(self, district: UUID) -> None:
        super().__init__(district)
        self.district = district


def _name_too_long(path: ServedPath) -> NameTooLong:
    return NameTooLong(path.text.encode(), size_bytes=len(path.name.encode()))


_REFUSALS: Final[dict[int, Callable[[ServedPath], Refusal]]] = {
    errno.ENOENT: NoSuchFile,
    errno.EEXIST: AlreadyThere,
    errno.ENOTDIR: NotADirectory,
    errno.EISDIR: IsADirectory,
    errno.ENOTEMPTY: DirectoryNotEmpty,
    errno.ENOSPC: DiskFull,
    errno.EDQUOT: DiskFull,
    errno.EFBIG: FileTooLarge,
    errno.ENAMETOOLONG: _name_too_long,
    errno.ELOOP: PlaceUnsupported,
    errno.ENXIO: PlaceUnsupported,
    errno.ENODEV: PlaceUnsupported,
    errno.EXDEV: PlaceUnsupported,
}


def translate(fault: OSError, *, path: ServedPath) -> Refusal | OSError:
    """Return the refusal that an error of the operating system means, or the error itself."""
    refusal = _REFUSALS.get(fault.errno or 0)
    return fault if refusal is None else refusal(path)


@contextmanager
def translating(path: ServedPath) -> Iterator[None]:
    """Raise refusals about `path` in the place of errors of the operating system."""
    try:
        yield
    except OSError as fault:
        raise translate(fault, path=path) from fault
