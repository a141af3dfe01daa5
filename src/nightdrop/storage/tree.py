# SPDX-License-Identifier: Apache-2.0
"""The file tree of all districts; a district is reached only through its UUID."""

import os
import stat
from pathlib import Path
from typing import Final
from uuid import UUID

from nightdrop.core.paths import Zone
from nightdrop.storage.confine import Confinement, detect_confinement
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.entries import Entry
from nightdrop.storage.modes import DIRECTORY, PRIVATE_DIRECTORY
from nightdrop.storage.place import LOCKS, MOVED, Place
from nightdrop.storage.usage import FindQuota, no_quota

__all__ = ["DistrictTree", "Entry", "Tree"]

_SHARED: Final = "shared"
_DIRECTORIES: Final = {
    Zone.UPLOAD.value: DIRECTORY,
    Zone.PROCESSED.value: DIRECTORY,
    Zone.DOWNLOAD.value: DIRECTORY,
    LOCKS: PRIVATE_DIRECTORY,
    MOVED: PRIVATE_DIRECTORY,
}


class Tree:
    """The directory that NIGHTDROP_TREE names. It may be a link; nothing below it may."""

    def __init__(self, root: Path, *, confinement: Confinement | None = None) -> None:
        """Choose how to keep paths below a district: as the kernel allows, unless told."""
        self._root: Final = root
        self._confinement: Final = confinement or detect_confinement()

    @property
    def shared(self) -> Path:
        """What all nodes share and no district sees: host keys and the secret key."""
        return self._root / _SHARED

    def prepare(self) -> None:
        """Make the tree and its shared directory, unless they are there."""
        self._root.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        self._make(self.shared, mode=PRIVATE_DIRECTORY)
        _sync(self._root)

    def add_district(self, district: UUID) -> None:
        """Make a district's directories, those that are missing; on return they are there.

        Run as root, it gives them to whom the tree belongs.
        """
        place = self._place(district)
        self._make(place.path, mode=PRIVATE_DIRECTORY)
        for name, mode in _DIRECTORIES.items():
            self._make(place.path / name, mode=mode)
        _sync(place.path)
        _sync(self._root)

    def district_ids(self) -> list[UUID]:
        """Return all districts that have directories."""
        with os.scandir(self._root) as entries:
            found = [_read_id(entry.name) for entry in entries if _is_directory(entry)]
        return sorted(id_ for id_ in found if id_ is not None)

    def district(self, district: UUID, *, find_quota: FindQuota = no_quota) -> DistrictTree:
        """Return one district's files; its methods raise NoSuchDistrict when there are none."""
        return DistrictTree(self._place(district), find_quota)

    def is_ready(self) -> bool:
        """Say whether the tree can be reached and written to."""
        return self.shared.is_dir() and os.access(self._root, os.R_OK | os.W_OK | os.X_OK)

    def _place(self, district: UUID) -> Place:
        return Place(tree=self._root, district=district, confinement=self._confinement)

    def _make(self, path: Path, *, mode: int) -> None:
        try:
            path.mkdir(mode=mode)
        except FileExistsError:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise
        if os.geteuid() == 0:
            owner = self._root.stat()
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    return entry.is_dir(follow_symlinks=False)


def _read_id(name: str) -> UUID | None:
    try:
        id_ = UUID(name)
    except ValueError:
        return None
    return id_ if str(id_) == name else None
