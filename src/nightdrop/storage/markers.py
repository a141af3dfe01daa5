# SPDX-License-Identifier: Apache-2.0
"""Markers on disk, and what their arrival promises: that all of their epoch is there to stay.

A disk may keep a change of mode or name and lose content that was written before it. Hence the
order, in `writing` and `renames`: whatever makes an epoch one with a whole marker comes after
everything in the epoch was brought to the disk; and what becomes whole in an epoch that has a
marker, whole or not yet, was brought to the disk before. Files become whole, and markers come
into being, only within `writers_turn`, so that one always sees the other.
"""

import errno
import os
import stat

from nightdrop.core.epochs import Marker, is_epoch_name
from nightdrop.core.paths import ServedPath, Zone
from nightdrop.storage.confine import open_file
from nightdrop.storage.modes import is_late, is_whole
from nightdrop.storage.place import Place
from nightdrop.storage.walk import Found, sync_tree, walk
from nightdrop.storage.writers import mark_on_time, writers_turn


def epoch_of(path: ServedPath) -> str | None:
    """Return the epoch that a path is or lies in, going by its name."""
    top = path.top
    return top if top is not None and is_epoch_name(top) else None


def find_markers(epoch_fd: int) -> dict[Marker, os.stat_result]:
    """Return the markers that lie in a directory, whole or not."""
    found: dict[Marker, os.stat_result] = {}
    for marker in Marker:
        try:
            seen = os.stat(marker, dir_fd=epoch_fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(seen.st_mode):
            found[marker] = seen
    return found


def read_markers(place: Place, epoch: str) -> dict[Marker, os.stat_result]:
    """Return the markers of an epoch, whole or not; none where it is no directory."""
    try:
        with place.directory(Zone.UPLOAD, epoch) as epoch_fd:
            return find_markers(epoch_fd)
    except OSError as fault:
        if fault.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return {}
        raise


def has_whole(markers: dict[Marker, os.stat_result]) -> bool:
    """Say whether one of these markers arrived whole."""
    return any(is_whole(seen.st_mode) for seen in markers.values())


def sync_epoch(place: Place, epoch: str) -> None:
    """Bring an epoch to the disk as it is, itself and its name."""
    with place.directory(Zone.UPLOAD, epoch) as epoch_fd:
        sync_tree(epoch_fd)
    sync_upload(place)


def sync_upload(place: Place) -> None:
    """Bring the names of the entries of ``/upload`` to the disk."""
    with place.upload() as upload_fd:
        os.fsync(upload_fd)


def mark_all_on_time(place: Place, epoch: str) -> None:
    """Let every whole file of an epoch count as before its marker, which comes only now."""
    with place.directory(Zone.UPLOAD, epoch) as epoch_fd:
        for found in walk(epoch_fd):
            _mark_if_late(place, found)


def _mark_if_late(place: Place, found: Found) -> None:
    if found.is_directory or not is_late(found.stat.st_mode):
        return
    try:
        descriptor = open_file(found.directory_fd, found.name, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        with writers_turn(place):
            mark_on_time(descriptor)
    finally:
        os.close(descriptor)
