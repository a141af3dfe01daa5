# SPDX-License-Identifier: Apache-2.0
"""Where one district's files are on disk, and the descriptors to reach them by.

``<tree>/<uuid>/`` holds the three served directories and what is not served: ``locks`` (a lock
and later a seal record for each entry of ``/upload``), ``moved`` (the records of epochs that
were moved away), ``writers`` (a lock that opening and closing of files takes, and the count of
what is used of the quota) and ``counting`` (a lock for making that count anew).
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from nightdrop.core.paths import ServedPath, Zone
from nightdrop.storage.confine import Confinement, open_directory
from nightdrop.storage.errors import NoSuchDistrict

LOCKS: Final = "locks"
MOVED: Final = "moved"
WRITERS: Final = "writers"
COUNTING: Final = "counting"


@dataclass(frozen=True, slots=True)
class Place:
    """One district's directory, `path`. Nothing is kept open between two calls."""

    tree: Path
    district: UUID
    confinement: Confinement
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.tree / str(self.district))

    def open(self, *parts: str) -> int:
        """Open a directory below the district's, served or not; the caller closes it.

        Raises:  NoSuchDistrict; OSError as `confine.open_directory`.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            root_fd = os.open(self.path, flags)
        except OSError as fault:
            if fault.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                raise NoSuchDistrict(self.district) from None
            raise
        if not parts:
            return root_fd
        try:
            return open_directory(root_fd, parts, confinement=self.confinement)
        finally:
            os.close(root_fd)

    @contextmanager
    def directory(self, *parts: str) -> Iterator[int]:
        """Have a directory open for a while; see `open`."""
        descriptor = self.open(*parts)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def served(self, path: ServedPath) -> Iterator[int]:
        """Have a directory open that the district sees; see `open`."""
        with self.directory(*path.parts) as descriptor:
            yield descriptor

    @contextmanager
    def upload(self) -> Iterator[int]:
        """Have ``/upload`` open for a while."""
        with self.directory(Zone.UPLOAD) as descriptor:
            yield descriptor
