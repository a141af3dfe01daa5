# SPDX-License-Identifier: Apache-2.0
"""A file that is open for reading."""

import errno
import os
import threading
from typing import Final

from nightdrop.core.paths import ServedPath
from nightdrop.storage.confine import open_file
from nightdrop.storage.entries import Entry, make_entry
from nightdrop.storage.errors import HandleClosed, translating
from nightdrop.storage.place import Place

#: No file is that large; so far below 2**63 that offset and size of one request never pass it.
OFFSET_LIMIT: Final = 2**63 - 2**32


class ReadHandle:
    """A file open for reading. Threads may share it; they take turns.

    The turns matter: a descriptor that is closed under a read may by then be another
    district's file.
    """

    def __init__(self, path: ServedPath, *, descriptor: int) -> None:
        """Take over `descriptor`."""
        self._path = path
        self._descriptor: int | None = descriptor
        self._turn = threading.Lock()

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on; none at the end of the file.

        Raises:  HandleClosed; OSError when the disk fails.
        """
        with self._turn:
            descriptor = self._open()
            return os.pread(descriptor, size, offset) if offset < OFFSET_LIMIT else b""

    def stat(self) -> Entry:
        """Describe the file. Raises HandleClosed."""
        with self._turn:
            found = os.fstat(self._open())
        return make_entry(self._path.name, found, zone=self._path.zone)

    def close(self) -> None:
        """Close the file; once more does nothing."""
        with self._turn:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None:
                os.close(descriptor)

    def _open(self) -> int:
        if self._descriptor is None:
            raise HandleClosed(self._path)
        return self._descriptor


def open_read(place: Place, path: ServedPath) -> ReadHandle:
    """Open a file for reading.

    Raises:  NoSuchFile, IsADirectory, NotADirectory, PlaceUnsupported.
    """
    with translating(path):
        if not path.is_movable:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        with place.served(path.parent) as directory_fd:
            return ReadHandle(path, descriptor=open_file(directory_fd, path.name, os.O_RDONLY))
