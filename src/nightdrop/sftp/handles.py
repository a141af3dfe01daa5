# SPDX-License-Identifier: Apache-2.0
"""The handles that one session has open: at most 64, named so that none can be guessed."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from nightdrop.core.errors import Refusal
from nightdrop.core.paths import ServedPath
from nightdrop.sftp.packets import U64
from nightdrop.sftp.replies import MAX_HANDLES
from nightdrop.sftp.shares import DistrictShare
from nightdrop.storage.entries import Entry, Listing
from nightdrop.storage.reading import ReadHandle
from nightdrop.storage.writing import WriteHandle


class TooManyHandles(Refusal):
    """The session has as many files and directories open as it may."""

    code = "too-many-handles"
    retry = True


class TooManyDistrictHandles(Refusal):
    """The sessions of the district have as many files and directories open as they may."""

    code = "too-many-district-handles"
    retry = True


class UnknownHandle(Refusal):
    """There is no such handle, or it is closed, or not of the kind that is needed."""

    code = "unknown-handle"


@dataclass(frozen=True, slots=True)
class Reading:
    """A file open for reading."""

    path: ServedPath
    file: ReadHandle


@dataclass(frozen=True, slots=True)
class Writing:
    """A file open for writing, and perhaps for reading too."""

    path: ServedPath
    file: WriteHandle


@dataclass(frozen=True, slots=True)
class Browsing:
    """A directory whose names are being handed out."""

    path: ServedPath
    entries: Iterator[Entry]

    def close(self) -> None:
        """Let go of the directory; `/` is none on the disk."""
        if isinstance(self.entries, Listing):
            self.entries.close()


Opened = Reading | Writing | Browsing


class HandleTable:
    """Open files and directories by handle."""

    def __init__(self, share: DistrictShare) -> None:
        self._share = share
        self._opened: dict[bytes, Opened] = {}
        self._prefix: Final = secrets.token_bytes(8)
        self._count = 0

    def has_any(self) -> bool:
        """Whether anything is open."""
        return bool(self._opened)

    def open(self, make: Callable[[], Opened]) -> bytes:
        """Open what `make` opens, if there is room, and return its handle.

        Raises:  TooManyHandles, TooManyDistrictHandles; what `make` raises.
        """
        if len(self._opened) >= MAX_HANDLES:
            raise TooManyHandles
        if not self._share.take_handle():
            raise TooManyDistrictHandles
        try:
            opened = make()
        except BaseException:
            self._share.give_handles(1)
            raise
        self._count += 1
        handle = self._prefix + U64.pack(self._count)
        self._opened[handle] = opened
        return handle

    def file(self, handle: bytes) -> Reading | Writing:
        """Return an open file, or raise UnknownHandle."""
        opened = self._opened.get(handle)
        if isinstance(opened, Reading | Writing):
            return opened
        raise UnknownHandle

    def writing(self, handle: bytes) -> Writing:
        """Return a file open for writing, or raise UnknownHandle."""
        opened = self._opened.get(handle)
        if isinstance(opened, Writing):
            return opened
        raise UnknownHandle

    def browsing(self, handle: bytes) -> Browsing:
        """Return an open directory, or raise UnknownHandle."""
        opened = self._opened.get(handle)
        if isinstance(opened, Browsing):
            return opened
        raise UnknownHandle

    def take(self, handle: bytes) -> Opened:
        """Remove and return what a handle stands for, or raise UnknownHandle."""
        opened = self._opened.pop(handle, None)
        if opened is None:
            raise UnknownHandle
        self._share.give_handles(1)
        return opened

    def take_all(self) -> list[Opened]:
        """Remove and return everything that is still open."""
        opened = list(self._opened.values())
        self._opened.clear()
        self._share.give_handles(len(opened))
        return opened
