# SPDX-License-Identifier: Apache-2.0
"""A file that is open for writing, and what its close promises.

A file that closes before its epoch has a marker is brought to the disk when the marker closes;
one that closes later, by its own close. `markers` says in which order, and why.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from nightdrop.core.errors import Refusal
from nightdrop.core.paths import ServedPath
from nightdrop.storage.claims import Claim
from nightdrop.storage.confine import open_file
from nightdrop.storage.entries import Entry, make_entry
from nightdrop.storage.errors import (
    FileTooLarge,
    HandleClosed,
    NoSuchDistrict,
    NotOpenForReading,
    translating,
)
from nightdrop.storage.locks import EntryLock, take_shared
from nightdrop.storage.markers import (
    epoch_of,
    has_whole,
    mark_all_on_time,
    read_markers,
    sync_epoch,
    sync_upload,
)
from nightdrop.storage.place import Place
from nightdrop.storage.reading import OFFSET_LIMIT
from nightdrop.storage.usage import FindQuota, ask_twice
from nightdrop.storage.writers import join, leave, mark_late, writers_turn

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
    cannot be sealed, renamed or removed. A write that fails is not forgotten: later writes and
    `close` raise the same and the file does not become whole, for a client may not have read
    on.
    """

    def __init__(
        self,
        place: Place,
        path: ServedPath,
        *,
        descriptor: int,
        lock: EntryLock,
        claim: Claim,
        options: WriteOptions,
    ) -> None:
        """Take over `descriptor`, whose file was joined, and `lock`."""
        self._place = place
        self._path = path
        self._descriptor: int | None = descriptor
        self._lock = lock
        self._claim = claim
        self._readable = options.readable
        #: Where the next write goes that is appended, as far as is known here.
        self._tail = os.fstat(descriptor).st_size if options.append else None
        self._fault: Exception | None = None
        self._turn = threading.RLock()

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data` at `offset`, or at the end when opened to append.

        Raises:  QuotaBytesRefused, DiskFull, FileTooLarge, HandleClosed; OSError when the disk
                 fails.
        """
        self.writev(offset, (data,))

    def writev(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write several buffers one after the other from `offset` on; see `write`."""
        with self._turn:
            descriptor = self._open()
            size_bytes = sum(map(len, buffers))
            end = offset + size_bytes if self._tail is None else self._find_end(size_bytes)
            with self._remembering(end):
                _write_all(descriptor, offset, buffers)
            if self._tail is not None:
                self._tail = end

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
        with self._turn:
            descriptor = self._open()
            with self._remembering(size):
                os.ftruncate(descriptor, size)
            if self._tail is not None:
                self._tail = size

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
                    raise self._fault
                with translating(self._path):
                    return self._close_cleanly(descriptor)
            except (OSError, Refusal):
                # Also when it was left as whole already and the disk then failed.
                self._leave_torn(descriptor)
                raise
            finally:
                self._release(descriptor)

    def abandon(self) -> None:
        """Close the file because its client went away: it does not become whole by this.

        Waits for a write that is under way. Once more, or after `close`, does nothing.
        """
        with self._turn:
            if self._descriptor is None:
                return
            self._leave_torn(self._descriptor)
            self._release(self._descriptor)

    def _open(self) -> int:
        if self._descriptor is None:
            raise HandleClosed(self._path)
        return self._descriptor

    def _find_end(self, size_bytes: int) -> int:
        """Return where the file will end when this much is appended."""
        tail = self._tail or 0
        if tail + size_bytes > self._claim.end:
            # Others may have appended, too.
            tail = os.fstat(self._open()).st_size
        return tail + size_bytes

    @contextmanager
    def _remembering(self, end: int) -> Iterator[None]:
        """Claim room up to `end`. Raise what goes wrong with the change, and keep it."""
        if self._fault is not None:
            # Without its trace, which would grow with each write.
            raise self._fault.with_traceback(None)
        try:
            if end >= OFFSET_LIMIT:
                raise FileTooLarge(self._path)
            with translating(self._path):
                if end > self._claim.end:
                    self._claim.grow(self._open(), end)
                yield
        except (OSError, Refusal) as fault:
            self._fault = fault
            raise

    def _leave_torn(self, descriptor: int) -> None:
        # Should this fail, the file's mode still says that it is not whole.
        with suppress(OSError, NoSuchDistrict), writers_turn(self._place) as turn:
            self._leave(turn, descriptor, is_clean=False)

    def _leave(self, turn: int, descriptor: int, *, is_clean: bool) -> bool:
        left = leave(descriptor, is_clean=is_clean)
        if left.is_last:
            self._claim.settle(turn, descriptor)
        return left.is_whole

    def _release(self, descriptor: int) -> None:
        self._descriptor = None
        try:
            os.close(descriptor)
        finally:
            self._lock.release()

    def _close_cleanly(self, descriptor: int) -> Closed:
        _flush(descriptor)
        epoch = epoch_of(self._path)
        with writers_turn(self._place) as turn:
            markers = {} if epoch is None else read_markers(self._place, epoch)
            if epoch is None or not markers:
                is_whole = self._leave(turn, descriptor, is_clean=True)
                return Closed(marker=None, is_whole=is_whole)
        # By identity, for the file may have got another name since it was opened.
        own = os.fstat(descriptor)
        is_marker = any(os.path.samestat(own, seen) for seen in markers.values())
        if is_marker:
            mark_all_on_time(self._place, epoch)
            sync_epoch(self._place, epoch)
        else:
            os.fsync(descriptor)
            self._sync_name(epoch)
        is_late = not is_marker and has_whole(markers)
        is_whole = self._become_whole(descriptor, is_late=is_late)
        return Closed(marker=epoch if is_marker and is_whole else None, is_whole=is_whole)

    def _become_whole(self, descriptor: int, *, is_late: bool) -> bool:
        """Leave a file whose content is on the disk, and bring there that it is whole."""
        with writers_turn(self._place) as turn:
            is_whole = self._leave(turn, descriptor, is_clean=True)
            if is_late:
                mark_late(descriptor)
        os.fsync(descriptor)
        return is_whole

    def _sync_name(self, epoch: str) -> None:
        try:
            with self._place.served(self._path.parent) as directory_fd:
                os.fsync(directory_fd)
        except (FileNotFoundError, NotADirectoryError):
            # The directory was renamed inside the epoch while the file was open.
            sync_epoch(self._place, epoch)
        else:
            sync_upload(self._place)


def open_write(
    place: Place, path: ServedPath, options: WriteOptions, *, find_quota: FindQuota
) -> WriteHandle:
    """Open a file for writing; `district.DistrictTree.open_write` says what it raises.

    The file counts as not whole before anything in it changes.
    """
    claim = Claim(place, path, find_quota)
    with translating(path):
        lock = take_shared(place, path.parts[1])
        try:
            descriptor = ask_twice(place, partial(_open_joined, place, path, options, claim))
        except BaseException:
            lock.release()
            raise
    handle = WriteHandle(
        place, path, descriptor=descriptor, lock=lock, claim=claim, options=options
    )
    if options.truncate:
        try:
            handle.truncate(0)
        except BaseException:
            handle.abandon()
            raise
    return handle


def _open_joined(place: Place, path: ServedPath, options: WriteOptions, claim: Claim) -> int:
    # Read and write, for a lock on NFS needs the one and taking it alone the other.
    flags = os.O_RDWR | (os.O_APPEND if options.append else 0)
    with place.served(path.parent) as directory_fd, writers_turn(place) as turn:
        refusal = claim.begin(turn)
        is_new = False
        if options.create:
            descriptor, is_new = _open_or_make(
                directory_fd, path.name, flags, exclusive=options.exclusive, refusal=refusal
            )
        else:
            descriptor = open_file(directory_fd, path.name, flags)
        try:
            join(descriptor, path=path)
            claim.hold(turn, descriptor, is_new=is_new)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def _open_or_make(
    directory_fd: int, name: str, flags: int, *, exclusive: bool, refusal: Refusal | None
) -> tuple[int, bool]:
    """Open a file, or make it, unless that would be refused. Says as well whether it is new."""
    while True:
        if refusal is None:
            try:
                return open_file(directory_fd, name, flags | os.O_CREAT | os.O_EXCL), True
            except FileExistsError:
                if exclusive:
                    raise
        elif exclusive:
            raise refusal
        try:
            return open_file(directory_fd, name, flags), False
        except FileNotFoundError:
            # Unless it was there a moment ago.
            if refusal is not None:
                raise refusal from None


def _flush(descriptor: int) -> None:
    """Learn now what some file systems say only when a file is closed: that it found no room."""
    os.close(os.dup(descriptor))


def _write_all(descriptor: int, offset: int, buffers: Sequence[Buffer]) -> None:
    waiting = [memoryview(buffer) for buffer in buffers if len(buffer)]
    while waiting:
        written = os.pwritev(descriptor, waiting[:_MAX_BUFFERS], offset)
        offset += written
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if written:
            waiting[0] = waiting[0][written:]
