# SPDX-License-Identifier: Apache-2.0
"""Markers on disk, and what their arrival promises: that all of their epoch is there to stay."""

import os
import stat

from nightdrop.core.epochs import Marker, is_epoch_name
from nightdrop.core.paths import ServedPath, Zone
from nightdrop.storage.confine import open_file
from nightdrop.storage.modes import is_late, is_whole
from nightdrop.storage.place import Place
from nightdrop.storage.walk import sync_tree, walk
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
    """Return the markers of an epoch, whole or not; none when it is no directory."""
    try:
        with place.directory(Zone.UPLOAD, epoch) as epoch_fd:
            return find_markers(epoch_fd)
    except (FileNotFoundError, NotADirectoryError):
        return {}


def has_whole(markers: dict[Marker, os.stat_result]) -> bool:
    """Say whether one of these markers arrived whole."""
    return any(is_whole(seen.st_mode) for seen in markers.values())


def settle_epoch(place: Place, epoch: str) -> None:
    """Bring an epoch to the disk, itself and its name; on return it is there.

    Called when a marker has just become whole: nothing in the epoch is later than that.
    """
    with place.directory(Zone.UPLOAD, epoch) as epoch_fd:
        _mark_all_on_time(place, epoch_fd)
        sync_tree(epoch_fd)
    sync_upload(place)


def sync_epoch(place: Place, epoch: str) -> None:
    """Bring an epoch to the disk as it is, itself and its name."""
    with place.directory(Zone.UPLOAD, epoch) as epoch_fd:
        sync_tree(epoch_fd)
    sync_upload(place)


def sync_upload(place: Place) -> None:
    """Bring the names of the entries of ``/upload`` to the disk."""
    with place.upload() as upload_fd:
        os.fsync(upload_fd)


def _mark_all_on_time(place: Place, epoch_fd: int) -> None:
    for found in walk(epoch_fd):
        if found.is_directory or not is_late(found.stat.st_mode):
            continue
        try:
            descriptor = open_file(found.directory_fd, found.name, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            with writers_turn(place):
                mark_on_time(descriptor)
        finally:
            os.close(descriptor)
