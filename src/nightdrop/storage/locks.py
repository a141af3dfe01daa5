# SPDX-License-Identifier: Apache-2.0
"""One lock for each entry directly below ``/upload``; once the entry is sealed, its record.

Who changes anything in an entry holds its lock shared and has looked, with the lock in hand,
that it is not sealed. Who seals, moves or renames the entry holds it alone. A lock file lives
as long as its entry; it is unlinked only by a holder that is alone, so that a name always
leads to the one lock that counts. Hence `_lock` looks, after it got a lock, whether that is
still what the name leads to.

Locks are ``flock`` on files outside the served tree. On NFS the kernel makes byte-range locks
of them, which need a descriptor open for writing and do not work on directories.
"""

import fcntl
import os
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from nightdrop.storage.confine import exists
from nightdrop.storage.errors import EpochBusy, EpochSealed, NoSuchDistrict
from nightdrop.storage.place import LOCKS, Place
from nightdrop.storage.records import (
    SealRecord,
    StoredSeal,
    add_seal,
    add_target,
    read_stored,
)

_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class EntryLock:
    """The lock of one entry, in hand. Release it, or use it as a context manager."""

    def __init__(self, place: Place, name: str, *, descriptor: int) -> None:
        self._place = place
        self._name = name
        self._descriptor: int | None = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def descriptor(self) -> int:
        """The open lock file."""
        if self._descriptor is None:
            message = f"the lock of {self._name!r} was released"
            raise RuntimeError(message)
        return self._descriptor

    def read(self) -> StoredSeal:
        """Return what the lock file says."""
        return read_stored(self.descriptor)

    def add_seal(self, record: SealRecord) -> None:
        """Seal the entry; the lock must be held alone. Durable on return."""
        add_seal(self.descriptor, record)
        with self._place.directory(LOCKS) as locks_fd:
            os.fsync(locks_fd)

    def add_target(self, target: str) -> None:
        """Note where the sealed entry is being moved to; the lock must be held alone."""
        add_target(self.descriptor, target)

    def release(self) -> None:
        """Let go of the lock, and unlink it when its entry is gone and nobody else has it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            # A lock file that stays behind is harmless, so that no work fails over it.
            with suppress(OSError, NoSuchDistrict):
                if not self._has_entry():
                    self._unlink(descriptor)
        finally:
            _let_go(descriptor)

    def _has_entry(self) -> bool:
        with self._place.upload() as upload_fd:
            return exists(upload_fd, self._name)

    def _unlink(self, descriptor: int) -> None:
        # Taking the lock alone may let go of it for a moment, so all is looked at again.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        with self._place.directory(LOCKS) as locks_fd:
            is_unused = read_stored(descriptor).record is None and not self._has_entry()
            if is_unused and _leads_to(locks_fd, self._name, descriptor):
                os.unlink(self._name, dir_fd=locks_fd)


def take_shared(place: Place, name: str) -> EntryLock:
    """Take an entry's lock to change something in it. Waits while somebody seals or moves it.

    Raises:  EpochSealed.
    """
    return _take_unsealed(place, name, operation=fcntl.LOCK_SH)


def take_alone(place: Place, name: str) -> EntryLock:
    """Take an entry's lock for itself, to rename or remove the entry. Never waits.

    Raises:  EpochBusy when anybody has it, EpochSealed.
    """
    try:
        return _take_unsealed(place, name, operation=fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise EpochBusy(name) from None


def take_to_seal(place: Place, name: str) -> EntryLock | None:
    """Take an entry's lock for itself, sealed or not. Never waits: None when anybody has it."""
    with suppress(BlockingIOError):
        descriptor = _lock(place, name, operation=fcntl.LOCK_EX | fcntl.LOCK_NB)
        return EntryLock(place, name, descriptor=descriptor)
    return None


def take_sealed(place: Place, name: str) -> EntryLock | None:
    """Take the lock of a sealed entry for itself. Waits; None when there is no such lock.

    Who wants to write does not even ask for the lock of a sealed entry, so that the wait is
    short and cannot be drawn out.
    """
    try:
        descriptor = _lock(place, name, operation=fcntl.LOCK_EX, make=False)
    except FileNotFoundError:
        return None
    return EntryLock(place, name, descriptor=descriptor)


def look_at_seal(place: Place, name: str) -> StoredSeal | None:
    """Read an entry's lock file without taking the lock; None when there is none.

    A seal that is there stays there. That none is there means nothing a moment later.
    """
    with place.directory(LOCKS) as locks_fd:
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=locks_fd)
        except FileNotFoundError:
            return None
    try:
        return read_stored(descriptor)
    finally:
        os.close(descriptor)


def _take_unsealed(place: Place, name: str, *, operation: int) -> EntryLock:
    descriptor = _lock(place, name, operation=operation, refuses_sealed=True)
    try:
        _check_unsealed(descriptor, name)
    except (EpochSealed, OSError):
        _let_go(descriptor)
        raise
    return EntryLock(place, name, descriptor=descriptor)


def _check_unsealed(descriptor: int, name: str) -> None:
    if os.fstat(descriptor).st_size == 0:
        return
    record = read_stored(descriptor).record
    if record is not None:
        raise EpochSealed(name, record.sealed_at)


def _lock(
    place: Place, name: str, *, operation: int, make: bool = True, refuses_sealed: bool = False
) -> int:
    flags = _FLAGS | os.O_CREAT if make else _FLAGS
    with place.directory(LOCKS) as locks_fd:
        while True:
            descriptor = os.open(name, flags, 0o600, dir_fd=locks_fd)
            try:
                if refuses_sealed:
                    _check_unsealed(descriptor, name)
                fcntl.flock(descriptor, operation)
                if _leads_to(locks_fd, name, descriptor):
                    return descriptor
            except (EpochSealed, OSError):
                _let_go(descriptor)
                raise
            _let_go(descriptor)


def _let_go(descriptor: int) -> None:
    # Said outright: a process that was forked meanwhile would keep a lock that is only closed.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _leads_to(locks_fd: int, name: str, descriptor: int) -> bool:
    try:
        named = os.stat(name, dir_fd=locks_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))
