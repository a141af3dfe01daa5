# SPDX-License-Identifier: Apache-2.0
"""A file that is open for writing, and what its close promises.

The order in a close decides what survives a kill. The file becomes whole (its mode) first and
markers are looked for second; a marker becomes whole first and everything is synced second. So
of a file and a marker that close at the same time, one sees the other, and the file is on the
disk before the later of the two closes is answered.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nightdrop.core.paths import ServedPath
from nightdrop.storage.confine import open_file
from nightdrop.storage.entries import Entry, make_entry
from nightdrop.storage.errors import (
    FileTooLarge,
    HandleClosed,
    NotOpenForReading,
    translate,
    translating,
)
from nightdrop.storage.locks import EntryLock, take_shared
from nightdrop.storage.markers import (
    epoch_of,
    has_whole,
    read_markers,
    settle_epoch,
    sync_epoch,
    sync_upload,
)
from nightdrop.storage.place import Place
from nightdrop.storage.reading import OFFSET_LIMIT
from nightdrop.storage.writers import join, leave, mark_late, mark_torn, writers_turn

#: Buffers that one system call takes.
_MAX_BUFFERS: Final = 1024

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Closed:
    """What a clean close achieved.

    `marker`: the epoch whose marker this completed; all of the epoch is on the disk by then.
    `is_whole`: False when other handles still write to the file, or one of them broke off.
    """

    marker: str | None
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How a file is opened for writing; the flags of SFTP's OPEN."""

    create: bool
    exclusive: bool
    truncate: bool
    append: bool
    readable: bool = False


class WriteHandle:
    """A file open for writing. Threads may share it; they take turns, see `ReadHandle`.

    End it with `close`, or with `abandon` when its client went away. Until then its epoch
    cannot be sealed, renamed or removed. A write that fails is not forgotten: `close` then
    raises the same and the file does not become whole, for a client may not have read on.
    """

    def __init__(
        self, place: Place, path: ServedPath, *, descriptor: int, lock: EntryLock, readable: bool
    ) -> None:
        """Take over `descriptor`, whose file was joined, and `lock`."""
        self._place = place
        self._path = path
        self._descriptor: int | None = descriptor
        self._lock = lock
        self._readable = readable
        self._fault: Exception | None = None
        self._turn = threading.RLock()

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data` at `offset`, or at the end when opened to append.

        Raises:  DiskFull, FileTooLarge, HandleClosed; OSError when the disk fails.
        """
        self.writev(offset, (data,))

    def writev(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write several buffers one after the other from `offset` on; see `write`."""
        with self._turn:
            descriptor = self._open()
            try:
                _write_all(descriptor, offset, buffers)
            except OSError as fault:
                self._fault = translate(fault, path=self._path)
                raise self._fault from fault
            except OverflowError:
                self._fault = FileTooLarge(self._path)
                raise self._fault from None

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on. Raises NotOpenForReading, HandleClosed."""
        with self._turn:
            descriptor = self._open()
            if not self._readable:
                raise NotOpenForReading(self._path)
            return os.pread(descriptor, size, offset) if offset < OFFSET_LIMIT else b""

    def stat(self) -> Entry:
        """Describe the file. Raises HandleClosed."""
        with self._turn:
            found = os.fstat(self._open())
        return make_entry(self._path.name, found, zone=self._path.zone)

    def truncate(self, size: int) -> None:
        """Make the file `size` bytes long. Raises as `write` does."""
        with self._turn, translating(self._path):
            descriptor = self._open()
            if size >= OFFSET_LIMIT:
                raise FileTooLarge(self._path)
            os.ftruncate(descriptor, size)

    def set_times(self, atime: int, mtime: int) -> None:
        """Set the file's times, in seconds since 1970 UTC. Raises HandleClosed."""
        with self._turn, translating(self._path):
            os.utime(self._open(), (atime, mtime))

    def sync(self) -> None:
        """Bring what was written to the disk; on return it is there."""
        with self._turn, translating(self._path):
            os.fsync(self._open())

    def close(self) -> Closed:
        """Close the file cleanly; what the returned value says is then on the disk.

        Raises:  what a write raised before; DiskFull or OSError when the disk fails now. The
                 handle is closed all the same, and the file is not whole.
        """
        with self._turn:
            descriptor = self._open()
            try:
                if self._fault is not None:
                    self._leave(descriptor, is_clean=False)
                    raise self._fault
                with translating(self._path):
                    return self._close_cleanly(descriptor)
            finally:
                self._release(descriptor)

    def abandon(self) -> None:
        """Close the file because its client went away: it does not become whole by this.

        Waits for a write that is under way. Once more, or after `close`, does nothing.
        """
        with self._turn:
            if self._descriptor is None:
                return
            descriptor = self._descriptor
            try:
                self._leave(descriptor, is_clean=False)
            finally:
                self._release(descriptor)

    def _open(self) -> int:
        if self._descriptor is None:
            raise HandleClosed(self._path)
        return self._descriptor

    def _leave(self, descriptor: int, *, is_clean: bool) -> bool:
        with writers_turn(self._place):
            return leave(descriptor, is_clean=is_clean)

    def _release(self, descriptor: int) -> None:
        self._descriptor = None
        os.close(descriptor)
        self._lock.release()

    def _close_cleanly(self, descriptor: int) -> Closed:
        is_complete = self._leave(descriptor, is_clean=True)
        epoch = epoch_of(self._path)
        if epoch is None or not is_complete:
            return Closed(marker=None, is_whole=is_complete)
        try:
            return self._settle(descriptor, epoch)
        except OSError:
            with writers_turn(self._place):
                mark_torn(descriptor)
            raise

    def _settle(self, descriptor: int, epoch: str) -> Closed:
        markers = read_markers(self._place, epoch)
        own = os.fstat(descriptor)
        # By identity, for the file may have got another name since it was opened.
        if any(os.path.samestat(own, seen) for seen in markers.values()):
            settle_epoch(self._place, epoch)
            return Closed(marker=epoch, is_whole=True)
        if markers:
            if has_whole(markers):
                with writers_turn(self._place):
                    mark_late(descriptor)
            os.fsync(descriptor)
            self._sync_name(epoch)
        return Closed(marker=None, is_whole=True)

    def _sync_name(self, epoch: str) -> None:
        try:
            with self._place.served(self._path.parent) as directory_fd:
                os.fsync(directory_fd)
        except (FileNotFoundError, NotADirectoryError):
            # The directory was renamed inside the epoch while the file was open.
            sync_epoch(self._place, epoch)
        else:
            sync_upload(self._place)


def open_write(place: Place, path: ServedPath, options: WriteOptions) -> WriteHandle:
    """Open a file for writing; `district.DistrictTree.open_write` says what it raises.

    The file counts as not whole before anything in it changes.
    """
    lock = take_shared(place, path.parts[1])
    try:
        with translating(path):
            descriptor = _open_joined(place, path, options)
            if options.truncate:
                os.ftruncate(descriptor, 0)
    except BaseException:
        lock.release()
        raise
    return WriteHandle(
        place, path, descriptor=descriptor, lock=lock, readable=options.readable
    )


def _open_joined(place: Place, path: ServedPath, options: WriteOptions) -> int:
    # Read and write, for a lock on NFS needs the one and taking it alone the other.
    flags = os.O_RDWR
    if options.create:
        flags |= os.O_CREAT | (os.O_EXCL if options.exclusive else 0)
    if options.append:
        flags |= os.O_APPEND
    with place.served(path.parent) as directory_fd, writers_turn(place):
        descriptor = open_file(directory_fd, path.name, flags)
        try:
            join(descriptor, path=path)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def _write_all(descriptor: int, offset: int, buffers: Sequence[Buffer]) -> None:
    waiting = [memoryview(buffer) for buffer in buffers if len(buffer)]
    while waiting:
        written = os.pwritev(descriptor, waiting[:_MAX_BUFFERS], offset)
        offset += written
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if written:
            waiting[0] = waiting[0][written:]
