# SPDX-License-Identifier: Apache-2.0
"""Renaming below ``/upload``, and the markers and epochs that come about by it."""

import errno
import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass

from nightdrop.core.epochs import marker_of
from nightdrop.core.paths import MAX_DEPTH, ServedPath
from nightdrop.storage.confine import (
    Confinement,
    open_directory,
    rename_new,
    stat_entry,
)
from nightdrop.storage.errors import (
    DirectoryNotEmpty,
    InsideItself,
    TreeTooDeep,
    translating,
)
from nightdrop.storage.locks import take_alone, take_shared
from nightdrop.storage.markers import (
    epoch_of,
    find_markers,
    has_whole,
    read_markers,
    sync_epoch,
    sync_upload,
)
from nightdrop.storage.modes import is_whole
from nightdrop.storage.place import Place
from nightdrop.storage.usage import freeing
from nightdrop.storage.walk import measure_height, sync_file, sync_tree
from nightdrop.storage.writers import writers_turn

_TOP_PARTS = 2


@dataclass(frozen=True, slots=True)
class Marked:
    """An epoch that has its marker now; all of it is on the disk."""

    epoch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rename:
    """A rename about to happen: the open directories, and what is known of it."""

    place: Place
    old: ServedPath
    new: ServedPath
    old_fd: int
    new_fd: int
    replace: bool

    def carry_out(self, turn: int) -> None:
        """Do it and count what it replaces, and nothing else, within `writers_turn`."""
        if not self.replace:
            rename_new(self.old_fd, self.old.name, self.new_fd, self.new.name)
            return
        with freeing(turn, self.new_fd, self.new.name):
            os.rename(self.old.name, self.new.name, src_dir_fd=self.old_fd, dst_dir_fd=self.new_fd)

    def take_turn(self) -> None:
        """Do it in a turn of its own."""
        with writers_turn(self.place) as turn:
            self.carry_out(turn)


def rename(place: Place, old: ServedPath, new: ServedPath, *, replace: bool) -> Marked | None:
    """Rename `old` to `new`; both are below ``/upload``. See `DistrictTree.rename`.

    Locks are taken in the order of their names, so that two renames cannot wait for each other.
    What leaves an entry of ``/upload`` needs that entry's lock alone: no handle then writes to
    something that lies in another entry than the one it holds the lock of.
    """
    alone = _entries_needed_alone(old, new)
    with ExitStack() as held:
        with translating(old):
            for name in sorted({old.parts[1], new.parts[1]}):
                held.enter_context((take_alone if name in alone else take_shared)(place, name))
            old_fd = held.enter_context(place.served(old.parent))
            found = stat_entry(old_fd, old.name)
        with translating(new):
            new_fd = held.enter_context(place.served(new.parent))
            if stat.S_ISDIR(found.st_mode):
                _check_depth(old_fd, old, new)
            work = _Rename(
                place=place, old=old, new=new, old_fd=old_fd, new_fd=new_fd, replace=replace
            )
            return _rename(work, found)


def _entries_needed_alone(old: ServedPath, new: ServedPath) -> set[str]:
    if old.parts[1] == new.parts[1] and _TOP_PARTS not in {len(old.parts), len(new.parts)}:
        return set()
    alone = {old.parts[1]}
    if len(new.parts) == _TOP_PARTS:
        alone.add(new.parts[1])
    return alone


def _check_depth(old_fd: int, old: ServedPath, new: ServedPath) -> None:
    """Check that what a directory holds does not get deeper than paths may be."""
    if len(new.parts) <= len(old.parts):
        return
    directory_fd = open_directory(old_fd, (old.name,), confinement=Confinement.WALK)
    try:
        height = measure_height(directory_fd)
    finally:
        os.close(directory_fd)
    if len(new.parts) + height > MAX_DEPTH:
        raise TreeTooDeep(new)


def _rename(work: _Rename, found: os.stat_result) -> Marked | None:
    epoch = epoch_of(work.new)
    left = epoch_of(work.old)
    leaves_marked = left is not None and bool(read_markers(work.place, left))
    try:
        marked = _rename_towards(work, found, epoch)
        if leaves_marked:
            os.fsync(work.old_fd)
            os.fsync(work.new_fd)
    except OSError as fault:
        if fault.errno == errno.EINVAL:
            raise InsideItself(work.new) from fault
        if fault.errno == errno.EEXIST and work.replace:
            raise DirectoryNotEmpty(work.new) from fault
        raise
    return marked


def _rename_towards(work: _Rename, found: os.stat_result, epoch: str | None) -> Marked | None:
    if len(work.new.parts) == _TOP_PARTS:
        return _rename_to_top(work, found, epoch)
    if epoch is None:
        work.take_turn()
        return None
    return _rename_into_epoch(work, found, epoch)


def _rename_to_top(work: _Rename, found: os.stat_result, epoch: str | None) -> Marked | None:
    """Rename to an entry of ``/upload``, which perhaps makes a marked epoch at one stroke."""
    if epoch is None or not stat.S_ISDIR(found.st_mode):
        work.take_turn()
        return None
    directory_fd = open_directory(work.old_fd, (work.old.name,), confinement=Confinement.WALK)
    try:
        markers = find_markers(directory_fd)
        if markers:
            sync_tree(directory_fd)
    finally:
        os.close(directory_fd)
    work.take_turn()
    if not markers:
        return None
    os.fsync(work.old_fd)
    sync_upload(work.place)
    return Marked(epoch) if has_whole(markers) else None


def _rename_into_epoch(work: _Rename, found: os.stat_result, epoch: str) -> Marked | None:
    """Rename to something in an epoch: a marker, a file among others, or a directory."""
    is_file = stat.S_ISREG(found.st_mode)
    makes_marker = (
        is_file and len(work.new.parts) == _TOP_PARTS + 1 and marker_of(work.new.name) is not None
    )
    if not makes_marker:
        with writers_turn(work.place) as turn:
            if not read_markers(work.place, epoch):
                work.carry_out(turn)
                return None
    _sync_entry(work, is_file=is_file)
    if makes_marker:
        # Most of the work, before the turn; in the turn nothing can become whole.
        sync_epoch(work.place, epoch)
    with writers_turn(work.place) as turn:
        if makes_marker:
            sync_epoch(work.place, epoch)
        work.carry_out(turn)
    os.fsync(work.old_fd)
    os.fsync(work.new_fd)
    sync_upload(work.place)
    return Marked(epoch) if makes_marker and is_whole(found.st_mode) else None


def _sync_entry(work: _Rename, *, is_file: bool) -> None:
    if is_file:
        sync_file(work.old_fd, work.old.name)
        return
    directory_fd = open_directory(work.old_fd, (work.old.name,), confinement=Confinement.WALK)
    try:
        sync_tree(directory_fd)
    finally:
        os.close(directory_fd)
