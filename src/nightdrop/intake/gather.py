# SPDX-License-Identifier: Apache-2.0
"""Finding the files of an offline check: a folder, a zip archive, single files.

Imports nothing heavy, so that `nightdrop check` can name the files before it loads the
library that reads them. An archive is hostile until it is unpacked: its members go into
a scratch directory under names of our own, never more of them, and never more bytes,
than `ArchiveLimits` allows; what the archive says about sizes is not believed.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from nightdrop.core.epochs import marker_of
from nightdrop.core.errors import Refusal
from nightdrop.core.formats.limits import LIMITS

_CHUNK = 1 << 20
_IS_ENCRYPTED = 0x1
#: What macOS puts into archives beside the files.
_MACOS = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """How much may come out of one archive."""

    members: int = 1_000
    bytes: int = 4 * LIMITS.file_bytes
    #: A member may be so many times as large as it is packed; text stays far below.
    ratio: int = 250
    #: Below this the ratio says nothing.
    small_bytes: int = _CHUNK


ARCHIVE_LIMITS = ArchiveLimits()


class CannotGather(Refusal):
    """`path` cannot be checked."""

    code: ClassVar[str] = "cannot-gather"

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


class NoSuchPath(CannotGather):
    """There is no such file or directory, or it may not be read."""

    code = "no-such-path"


class NothingToCheck(CannotGather):
    """A directory or archive without a single file."""

    code = "nothing-to-check"


class BrokenArchive(CannotGather):
    """A file named .zip that is no zip archive, or a damaged one."""

    code = "broken-archive"


class EncryptedArchive(CannotGather):
    """An archive with a password."""

    code = "encrypted-archive"


class ArchiveTooLarge(CannotGather):
    """An archive that holds too many files, or more than its packed size can honestly be."""

    code = "archive-too-large"


@dataclass(frozen=True, slots=True)
class GatheredFile:
    """A file to check: its name as a delivery would have it, and where it lies."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is to be checked as one delivery; `marker` is the marker's name if there is one."""

    title: str
    files: tuple[GatheredFile, ...]
    marker: str | None


def gather(
    paths: Sequence[Path], *, scratch: Path, limits: ArchiveLimits = ARCHIVE_LIMITS
) -> Gathered:
    """Find the files below `paths`: all files of a folder or archive, and single files.

    Folders within a folder are not looked into, as in an epoch. Archives are unpacked
    into `scratch`; folders within them do not count, because most programs add one.

    Raises: CannotGather, one subclass for each reason.
    """
    found: list[GatheredFile] = []
    for number, path in enumerate(paths):
        some = list(_files_of(path, scratch=scratch / str(number), limits=limits))
        if not some:
            raise NothingToCheck(path)
        found += some
    markers = [file.name for file in found if marker_of(file.name)]
    return Gathered(
        title=paths[0].resolve().name or str(paths[0]),
        files=tuple(file for file in found if file.name not in markers),
        marker=min(markers, default=None),
    )


def _files_of(path: Path, *, scratch: Path, limits: ArchiveLimits) -> Iterator[GatheredFile]:
    if path.is_dir():
        inside = sorted(path.iterdir())
        yield from (GatheredFile(file.name, file) for file in inside if file.is_file())
    elif not path.is_file():
        raise NoSuchPath(path)
    elif path.suffix.casefold() == ".zip":
        scratch.mkdir(parents=True)
        yield from _unpack(path, scratch=scratch, limits=limits)
    else:
        yield GatheredFile(path.name, path)


def _unpack(path: Path, *, scratch: Path, limits: ArchiveLimits) -> Iterator[GatheredFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if _is_wanted(member)]
            if len(members) > limits.members:
                raise ArchiveTooLarge(path)
            left = limits.bytes
            for number, member in enumerate(members):
                if member.flag_bits & _IS_ENCRYPTED:
                    raise EncryptedArchive(path)
                fair = max(limits.small_bytes, limits.ratio * member.compress_size)
                target = scratch / f"{number:04d}"
                with archive.open(member) as packed, target.open("xb") as out:
                    left -= _copy(packed, out, limit=min(left, fair), archive=path)
                yield GatheredFile(re.split(r"[\\/]", member.filename)[-1], target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise BrokenArchive(path) from error


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    return not member.is_dir() and _MACOS.search(member.filename) is None


def _copy(packed: IO[bytes], out: IO[bytes], *, limit: int, archive: Path) -> int:
    """Copy a member and return its size. Raises ArchiveTooLarge beyond `limit` bytes."""
    size_bytes = 0
    while chunk := packed.read(_CHUNK):
        size_bytes += len(chunk)
        if size_bytes > limit:
            raise ArchiveTooLarge(archive)
        out.write(chunk)
    return size_bytes
