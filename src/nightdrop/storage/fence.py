# SPDX-License-Identifier: Apache-2.0
"""The second fence around a sealed epoch: modes that let nobody write.

The first is the seal record; this one only helps where something went round it. The epoch's own
directory gets its mode last, and so tells whether all the others have theirs.
"""

import os
import stat

from nightdrop.core.paths import Zone
from nightdrop.storage.confine import open_file
from nightdrop.storage.modes import SEALED_DIRECTORY, SEALED_FILE
from nightdrop.storage.place import Place
from nightdrop.storage.walk import Found, walk


def raise_fence(place: Place, epoch: str) -> None:
    """Set the modes of a sealed epoch, unless they are set. Nothing when it was moved away."""
    try:
        with place.directory(Zone.UPLOAD, epoch) as epoch_fd:
            if not _is_fenced(epoch_fd):
                for found in walk(epoch_fd):
                    _fence(found)
    except FileNotFoundError:
        return


def has_fence(place: Place, epoch: str) -> bool:
    """Say whether everything in a sealed epoch has its mode, or the epoch was moved away."""
    try:
        with place.directory(Zone.UPLOAD, epoch) as epoch_fd:
            return _is_fenced(epoch_fd)
    except FileNotFoundError:
        return True


def _is_fenced(epoch_fd: int) -> bool:
    return stat.S_IMODE(os.fstat(epoch_fd).st_mode) == SEALED_DIRECTORY


def _fence(found: Found) -> None:
    if found.is_directory:
        os.fchmod(found.directory_fd, SEALED_DIRECTORY)
        return
    descriptor = open_file(found.directory_fd, found.name, os.O_RDONLY)
    try:
        os.fchmod(descriptor, SEALED_FILE)
    finally:
        os.close(descriptor)
