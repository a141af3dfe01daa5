# SPDX-License-Identifier: Apache-2.0
"""The file behind `storage.ledger`: made once, mapped by everybody, changed in turns.

Shape:   header (mark of the version, zeros, salt), then one array after another, see Arrays; in
         this machine's byte order. The salt makes it impossible to aim at a bucket from outside.

A value is stored by one aligned store of at most eight bytes, so that no reader ever meets half
of one, even if the writer was killed. What several stores must do together is said where it is
done. Every byte is allocated at the beginning: on a disk that fills up later, a store into a hole
would end the process.
"""

import fcntl
import mmap
import os
import secrets
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Literal

from nightdrop.core.errors import Refusal

#: Slots that a key may have.
BUCKET: Final = 8
#: Processes that count at one time: sixteen workers, and as many that end while those begin.
COLUMNS: Final = 32
#: Things that are counted at one time; the first bucket is not found by a key.
COUNTERS: Final = 8192
STRIKES: Final = 16384
LOGINS: Final = 8192
#: What is kept of an address, and of a name.
TEXT_BYTES: Final = 64

_MARK: Final = b"Nightdrop ledger 1\n".ljust(48, b"\0")
_SALT_BYTES: Final = 16
#: How long a turn is waited for. A turn takes microseconds; but on a machine that is overloaded
#: its holder may have to wait for a processor in the middle of it, as everybody then has to.
_PATIENCE_SECONDS: Final = 0.5
#: How long a process that starts waits for another one that makes the file.
_MAKING_SECONDS: Final = 10.0
_NAP_SECONDS: Final = 0.0002
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class LedgerMissing(Refusal):
    """There is no ledger at `path`: no SFTP server has run here."""

    code: ClassVar[str] = "ledger-missing"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


class LedgerForeign(Refusal):
    """The ledger at `path` was made by another version, or is damaged."""

    code: ClassVar[str] = "ledger-foreign"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


class LedgerBusy(Refusal):
    """Somebody holds the ledger at `path` and does not let go; perhaps a stopped process."""

    code: ClassVar[str] = "ledger-busy"
    retry: ClassVar[bool] = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """What is in the file, in this order. A tag is a hash of what a slot is about, 0 if free."""

    #: The number of turns that were had.
    turns: "memoryview[int]"
    counter_tags: "memoryview[int]"
    counts: "memoryview[int]"
    strike_tags: "memoryview[int]"
    #: The tag of the name alone, to find everything about it.
    name_tags: "memoryview[int]"
    failed_at: "memoryview[float]"
    until: "memoryview[float]"
    failures: "memoryview[int]"
    texts: "memoryview[int]"
    login_tags: "memoryview[int]"
    logged_in_at: "memoryview[float]"

    def release(self) -> None:
        """Let go of the memory."""
        for field in fields(self):
            getattr(self, field.name).release()


#: Name, format of `struct`, number of values.
_LAYOUT: Final[tuple[tuple[str, Literal["B", "H", "I", "Q", "d"], int], ...]] = (
    ("turns", "Q", 1),
    ("counter_tags", "Q", COUNTERS),
    ("counts", "H", COUNTERS * COLUMNS),
    ("strike_tags", "Q", STRIKES),
    ("name_tags", "Q", STRIKES),
    ("failed_at", "d", STRIKES),
    ("until", "d", STRIKES),
    ("failures", "I", STRIKES),
    ("texts", "B", STRIKES * 2 * TEXT_BYTES),
    ("login_tags", "Q", LOGINS),
    ("logged_in_at", "d", LOGINS),
)
_VALUE_BYTES: Final = {"B": 1, "H": 2, "I": 4, "Q": 8, "d": 8}
_HEADER_BYTES: Final = len(_MARK) + _SALT_BYTES
FILE_BYTES: Final = _HEADER_BYTES + sum(_VALUE_BYTES[kind] * count for _, kind, count in _LAYOUT)


class Turn:
    """The right to change what needs several stores, or looking first. Enter it to have it.

    It is a lock on the open file, which is gone when its process is. It does not insist: after
    half a second entering gives False, and from then on at once, as long as the very same turn
    goes on. A stopped process must not stop the server.
    """

    def __init__(self, descriptor: int, *, turns: "memoryview[int]") -> None:
        self._descriptor = descriptor
        self._turns = turns
        self._is_mine = False
        #: The turn that was waited for in vain.
        self._endless: int | None = None

    def __enter__(self) -> bool:
        self._is_mine = self._take()
        if self._is_mine:
            self._turns[0] += 1
        return self._is_mine

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_mine:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _take(self) -> bool:
        if try_lock(self._descriptor):
            return True
        if self._turns[0] == self._endless:
            return False
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            select.select((), (), (), _NAP_SECONDS)
            if try_lock(self._descriptor):
                return True
        self._endless = self._turns[0]
        return False


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """The open file and its parts."""

    path: Path
    descriptor: int
    memory: mmap.mmap
    salt: bytes
    arrays: Arrays

    def close(self) -> None:
        """Unmap and close."""
        self.arrays.release()
        self.memory.close()
        os.close(self.descriptor)


def open_file(path: Path) -> LedgerFile:
    """Map the file at `path`, and make nothing.

    Raises:  LedgerMissing, LedgerForeign, OSError.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        raise LedgerMissing(path) from None
    header = os.pread(descriptor, _HEADER_BYTES, 0)
    if os.fstat(descriptor).st_size != FILE_BYTES or not header.startswith(_MARK):
        os.close(descriptor)
        raise LedgerForeign(path)
    memory = mmap.mmap(descriptor, FILE_BYTES)
    return LedgerFile(path, descriptor, memory, header[len(_MARK) :], _arrays_of(memory))


def open_or_make_file(path: Path) -> LedgerFile:
    """Map the file at `path`; make it first when there is none of this version and size.

    A file of another version is replaced, not changed: a process of that version may have it.

    Raises:  LedgerBusy, OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _making(path):
        with suppress(LedgerMissing, LedgerForeign):
            return open_file(path)
        new = path.with_name(f"{path.name}.new")
        descriptor = os.open(new, _FLAGS | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, FILE_BYTES)
            os.pwrite(descriptor, _MARK + secrets.token_bytes(_SALT_BYTES), 0)
        finally:
            os.close(descriptor)
        new.replace(path)
        return open_file(path)


def try_lock(descriptor: int) -> bool:
    """Lock an open file if nobody has it locked; say whether that was done."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """Have the right to make the file: two that made it at one time would have one each."""
    lock = os.open(path.with_name(f"{path.name}.lock"), _FLAGS | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _MAKING_SECONDS
        while not try_lock(lock):
            if time.monotonic() > deadline:
                raise LedgerBusy(path)
            select.select((), (), (), _NAP_SECONDS)
        yield
    finally:
        os.close(lock)


def _arrays_of(memory: mmap.mmap) -> Arrays:
    offset = _HEADER_BYTES
    arrays: dict[str, Any] = {}
    with memoryview(memory) as whole:
        for name, kind, count in _LAYOUT:
            end = offset + _VALUE_BYTES[kind] * count
            arrays[name] = whole[offset:end].cast(kind)
            offset = end
    return Arrays(**arrays)
