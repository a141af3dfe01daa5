# SPDX-License-Identifier: Apache-2.0
"""One district's files: everything that may be asked for, and nothing besides.

Each call checks the place (`core.paths.check_allowed`), takes the lock of the entry of
``/upload`` that it changes something in, looks whether that is sealed, and acts. Nothing is
kept between two calls, so that a value of this class may be shared by threads and processes.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from nightdrop.core.paths import Act, ServedPath, Zone, check_allowed
from nightdrop.core.quota import Amount
from nightdrop.storage import reading, renames, writing
from nightdrop.storage.claims import resize
from nightdrop.storage.confine import exists, open_file, stat_entry
from nightdrop.storage.entries import Entry, Listing, make_entry
from nightdrop.storage.errors import (
    AlreadyThere,
    DirectoryNotEmpty,
    EpochSealed,
    FileTooLarge,
    translating,
)
from nightdrop.storage.locks import take_alone, take_shared
from nightdrop.storage.markers import epoch_of, read_markers, sync_upload
from nightdrop.storage.modes import DIRECTORY
from nightdrop.storage.place import Place
from nightdrop.storage.reading import OFFSET_LIMIT, ReadHandle
from nightdrop.storage.renames import Marked
from nightdrop.storage.usage import (
    FindQuota,
    ask_twice,
    find_files_refusal,
    freeing,
    keep_usage,
    look_at_count,
    no_quota,
    read_count,
)
from nightdrop.storage.writers import writers_turn
from nightdrop.storage.writing import WriteHandle, WriteOptions

_TOP_PARTS = 2


@dataclass(frozen=True, slots=True)
class Space:
    """How much may be stored, and how much of that is free."""

    total: Amount
    free: Amount


@dataclass(frozen=True, slots=True)
class DistrictTree:
    """What one district sees and may change. `find_quota` tells what it may have, each time."""

    place: Place
    find_quota: FindQuota = no_quota

    @property
    def id(self) -> UUID:
        """The district."""
        return self.place.district

    def stat(self, path: ServedPath) -> Entry:
        """Describe a file or directory.

        Raises:  NoSuchFile, NotADirectory, PlaceUnsupported, NoSuchDistrict.
        """
        check_allowed(Act.STAT, path)
        with translating(path):
            if not path.parts:
                with self.place.directory() as root_fd:
                    return make_entry("/", os.fstat(root_fd), zone=Zone.ROOT)
            with self.place.served(path.parent) as directory_fd:
                return make_entry(path.name, stat_entry(directory_fd, path.name), zone=path.zone)

    def list(self, path: ServedPath) -> Listing:
        """Go through a directory, looking at entries only as they are asked for.

        Raises:  NoSuchFile, NotADirectory, PlaceUnsupported, NoSuchDistrict.
        """
        check_allowed(Act.LIST, path)
        with translating(path):
            return Listing(self.place.open(*path.parts), zone=path.zone)

    def open_read(self, path: ServedPath) -> ReadHandle:
        """Open a file for reading.

        Raises:  NoSuchFile, IsADirectory, NotADirectory, PlaceUnsupported, NoSuchDistrict.
        """
        check_allowed(Act.READ, path)
        return reading.open_read(self.place, path)

    def open_write(
        self,
        path: ServedPath,
        *,
        create: bool,
        exclusive: bool,
        truncate: bool,
        append: bool,
        readable: bool = False,
    ) -> WriteHandle:
        """Open a file for writing; from here to a clean close it does not count as whole.

        Raises:  FixedPlace, ReadOnlyPlace, EpochSealed, NoSuchFile, AlreadyThere (exclusive),
                 IsADirectory, NotADirectory, PlaceUnsupported, TooManyWriters,
                 QuotaFilesRefused, DiskFull.
        """
        check_allowed(Act.WRITE, path)
        options = WriteOptions(
            create=create,
            exclusive=exclusive,
            truncate=truncate,
            append=append,
            readable=readable,
        )
        return writing.open_write(self.place, path, options, find_quota=self.find_quota)

    def make_directory(self, path: ServedPath) -> None:
        """Make a directory.

        Raises:  FixedPlace, ReadOnlyPlace, EpochSealed, AlreadyThere, NoSuchFile,
                 NotADirectory, PlaceUnsupported, QuotaFilesRefused, DiskFull.
        """
        check_allowed(Act.MAKE_DIRECTORY, path)
        with self._changing_names(path) as directory_fd:
            ask_twice(self.place, partial(self._make_directory, directory_fd, path))

    def remove_directory(self, path: ServedPath) -> None:
        """Remove an empty directory.

        Raises:  FixedPlace, ReadOnlyPlace, EpochSealed, NoSuchFile, NotADirectory,
                 DirectoryNotEmpty; EpochBusy for an entry of ``/upload`` that somebody is
                 just writing to.
        """
        check_allowed(Act.REMOVE, path)
        with self._changing_names(path, alone=len(path.parts) == _TOP_PARTS) as directory_fd:
            try:
                with writers_turn(self.place) as turn, freeing(turn, directory_fd, path.name):
                    os.rmdir(path.name, dir_fd=directory_fd)
            except FileExistsError:
                # Some file systems say this of a directory that is not empty.
                raise DirectoryNotEmpty(path) from None

    def remove_file(self, path: ServedPath) -> None:
        """Remove a file; handles that are open on it go on and lead nowhere.

        Raises:  FixedPlace, ReadOnlyPlace, EpochSealed, NoSuchFile, IsADirectory,
                 NotADirectory, PlaceUnsupported.
        """
        check_allowed(Act.REMOVE, path)
        with self._changing_names(path) as directory_fd:
            if stat.S_ISDIR(stat_entry(directory_fd, path.name).st_mode):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            with writers_turn(self.place) as turn, freeing(turn, directory_fd, path.name):
                os.unlink(path.name, dir_fd=directory_fd)

    def rename(self, old: ServedPath, new: ServedPath, *, replace: bool) -> Marked | None:
        """Rename a file or directory; `replace` lets it take the place of what is there.

        Returns: Marked when an epoch got its marker by this.
        Raises:  as `remove_file` for `old`, and for `new` AlreadyThere, NoSuchFile,
                 IsADirectory, NotADirectory, DirectoryNotEmpty, InsideItself, TreeTooDeep;
                 EpochBusy when something in an entry of ``/upload`` that would be renamed, or
                 lose something to another, is being written.
        """
        check_allowed(Act.RENAME, old)
        check_allowed(Act.RENAME, new)
        if old == new:
            self.stat(old)
            if not replace:
                raise AlreadyThere(new)
            return None
        return renames.rename(self.place, old, new, replace=replace)

    def set_times(self, path: ServedPath, atime: int, mtime: int) -> None:
        """Set times, in seconds since 1970 UTC. In a sealed epoch nothing happens.

        Raises:  FixedPlace, ReadOnlyPlace, NoSuchFile, NotADirectory, PlaceUnsupported.
        """
        check_allowed(Act.SET_ATTRIBUTES, path)
        with suppress(EpochSealed), self._changing(path) as directory_fd:
            stat_entry(directory_fd, path.name)
            os.utime(path.name, (atime, mtime), dir_fd=directory_fd, follow_symlinks=False)

    def truncate(self, path: ServedPath, size: int) -> None:
        """Make a file `size` bytes long; whether it counts as whole does not change.

        Raises:  as `open_write`; FileTooLarge, QuotaBytesRefused.
        """
        check_allowed(Act.WRITE, path)
        if size >= OFFSET_LIMIT:
            raise FileTooLarge(path)
        with self._changing(path) as directory_fd:
            descriptor = open_file(directory_fd, path.name, os.O_RDWR)
            try:
                resize(self.place, path, descriptor, size, find_quota=self.find_quota)
                if self._is_marked(path):
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def space(self) -> Space:
        """Return the quota and what is left of it, as far as the disk has room for that.

        Without a quota it is the room of the file system that holds the tree.

        Raises:  NoSuchDistrict.
        """
        with self.place.directory() as root_fd:
            disk = os.fstatvfs(root_fd)
        free = Amount(disk.f_bavail * disk.f_frsize, disk.f_favail)
        quota = self.find_quota()
        if quota is None:
            return Space(total=Amount(disk.f_blocks * disk.f_frsize, disk.f_files), free=free)
        left = look_at_count(self.place).usage.find_left(quota)
        return Space(total=quota, free=left.at_most(free))

    @contextmanager
    def _changing(self, path: ServedPath, *, alone: bool = False) -> Iterator[int]:
        """Hold the lock of an entry that is not sealed, and have the parent directory open."""
        take = take_alone if alone else take_shared
        with (
            translating(path),
            take(self.place, path.parts[1]),
            self.place.served(path.parent) as directory_fd,
        ):
            yield directory_fd

    def _make_directory(self, directory_fd: int, path: ServedPath) -> None:
        with writers_turn(self.place) as turn:
            count = read_count(turn)
            refusal = find_files_refusal(count, self.find_quota(), path)
            if refusal is not None and not exists(directory_fd, path.name):
                raise refusal
            os.mkdir(path.name, DIRECTORY, dir_fd=directory_fd)
            keep_usage(turn, count, count.usage.adding(Amount(files=1)))

    def _is_marked(self, path: ServedPath) -> bool:
        epoch = epoch_of(path)
        return epoch is not None and bool(read_markers(self.place, epoch))

    @contextmanager
    def _changing_names(self, path: ServedPath, *, alone: bool = False) -> Iterator[int]:
        """Do as `_changing`, for names, which an epoch that has its marker keeps for good."""
        with self._changing(path, alone=alone) as directory_fd:
            was_marked = self._is_marked(path)
            yield directory_fd
            if was_marked or self._is_marked(path):
                os.fsync(directory_fd)
                sync_upload(self.place)
