# SPDX-License-Identifier: Apache-2.0
"""Going through everything in a directory without following a link, and making it durable."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nightdrop.core.paths import MAX_DEPTH
from nightdrop.storage.confine import Confinement, is_supported, open_directory, open_file

# One descriptor is open for each level. Renames keep trees within MAX_DEPTH; this holds for
# what somebody put on the disk by hand.
_MAX_LEVELS: Final = 2 * MAX_DEPTH


class WalkTooDeep(OSError):
    """A tree on disk is deeper than any that could have been uploaded."""


@dataclass(frozen=True, slots=True)
class Found:
    """One regular file or directory, met while going through a tree.

    `parts` lead to it from where the walk began and are empty for that directory itself.
    `directory_fd` is the directory itself, or the one that a file lies in; it is open until
    the walk goes on.
    """

    parts: tuple[str, ...]
    stat: os.stat_result
    directory_fd: int

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return stat.S_ISDIR(self.stat.st_mode)

    @property
    def name(self) -> str:
        """The last of `parts`."""
        return self.parts[-1]

    @property
    def text(self) -> str:
        """`parts` as a relative path."""
        return "/".join(self.parts)


def walk(directory_fd: int) -> Iterator[Found]:
    """Go through a directory, each directory after what it holds, that one itself last.

    What is neither file nor directory is passed over, as is what vanishes meanwhile.
    """
    return _walk(directory_fd, ())


def _walk(directory_fd: int, parts: tuple[str, ...]) -> Iterator[Found]:
    if len(parts) > _MAX_LEVELS:
        raise WalkTooDeep("/".join(parts))
    with os.scandir(directory_fd) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    inner = open_directory(
                        directory_fd, (entry.name,), confinement=Confinement.WALK
                    )
                else:
                    inner = None
            except FileNotFoundError:
                continue
            if inner is not None:
                try:
                    yield from _walk(inner, (*parts, entry.name))
                finally:
                    os.close(inner)
            elif is_supported(found.st_mode):
                yield Found(parts=(*parts, entry.name), stat=found, directory_fd=directory_fd)
    yield Found(parts=parts, stat=os.fstat(directory_fd), directory_fd=directory_fd)


def measure_height(directory_fd: int) -> int:
    """Return how many levels of entries a directory has below it."""
    return max(len(found.parts) for found in walk(directory_fd))


def sync_tree(directory_fd: int) -> None:
    """Bring every file and directory of a tree to the disk; on return it is there."""
    for found in walk(directory_fd):
        if found.is_directory:
            os.fsync(found.directory_fd)
        else:
            sync_file(found.directory_fd, found.name)


def sync_file(directory_fd: int, name: str) -> None:
    """Bring one file to the disk, unless it is gone."""
    try:
        descriptor = open_file(directory_fd, name, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
