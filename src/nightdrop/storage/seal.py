# SPDX-License-Identifier: Apache-2.0
"""Sealing: the moment from which an epoch never changes again.

A seal is the durable record in the epoch's lock file and nothing else. `try_seal` may be called
by anybody, any number of times, on any node: whoever gets the lock alone decides, from what is
on the disk. Before the record is written everything that it speaks of is brought to the disk.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import UUID

from nightdrop.core.epochs import Marker, is_epoch_name, marker_of, read_epoch_name
from nightdrop.core.paths import ServedPath, Zone
from nightdrop.core.quota import Amount
from nightdrop.storage.confine import list_names
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import NotSealed, translating
from nightdrop.storage.fence import has_fence, raise_fence
from nightdrop.storage.locks import EntryLock, look_at_seal, take_to_seal
from nightdrop.storage.markers import find_markers, read_markers, sync_upload
from nightdrop.storage.modes import is_late, is_whole
from nightdrop.storage.place import LOCKS, Place
from nightdrop.storage.records import SealedBy, SealedFile, SealRecord
from nightdrop.storage.usage import note_change
from nightdrop.storage.walk import Found, sync_tree, walk

__all__ = [
    "SealRecord",
    "SealWait",
    "SealWaits",
    "SealedBy",
    "SealedFile",
    "marked_epochs",
    "marked_others",
    "read_record",
    "sealed_path",
    "sealed_records",
    "try_seal",
]

_NANOSECONDS: Final = 1_000_000_000


class SealWait(StrEnum):
    """Why an epoch was not sealed just now."""

    #: It has no marker, or is not there.
    NO_MARKER = "no-marker"
    #: Somebody is writing in it.
    BEING_WRITTEN = "being-written"
    #: A file in it did not arrive whole.
    TORN = "torn"
    #: It was changed too short a time ago.
    QUIET = "quiet"
    #: It is sealed already.
    SEALED = "sealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealWaits:
    """An epoch that `try_seal` did not seal.

    `names` are the torn files (TORN), as paths from the epoch on; `remaining_seconds` is how
    long to wait when nothing more comes (QUIET); `record` is the seal that was there (SEALED).
    """

    reason: SealWait
    names: tuple[str, ...] = ()
    remaining_seconds: float = 0.0
    record: SealRecord | None = None


@dataclass(frozen=True, slots=True)
class _Content:
    """What an epoch holds; `changed_ns` is when anything in it last changed.

    `amount` is all of it, itself included.
    """

    amount: Amount
    markers: dict[Marker, os.stat_result]
    files: tuple[SealedFile, ...]
    directories: tuple[str, ...]
    torn: tuple[str, ...]
    changed_ns: int


def try_seal(
    tree: DistrictTree, epoch: str, *, seal_id: UUID, quiet_seconds: float, sealed_by: SealedBy
) -> SealRecord | SealWaits:
    """Seal an epoch if it may be sealed now.

    1. Take its lock alone, without waiting: nobody then writes, renames or seals.
    2. It needs a marker, every file whole, and quiet: the time since the last change of
       anything in it, by the clock of the file system and by ctime, which no client can set.
    3. Bring all of it to the disk, then write the record, then raise the fence.

    Killed before the record is complete, nothing has happened; killed after, the epoch is
    sealed and who looks next raises the fence.

    Returns: SealRecord if this call sealed it, else SealWaits.
    Raises:  NotAnEpochName, DiskFull, NoSuchDistrict.
    """
    read_epoch_name(epoch)
    place = tree.place
    path = _path_of(epoch)
    with translating(path):
        if not read_markers(place, epoch) and look_at_seal(place, epoch) is None:
            return SealWaits(reason=SealWait.NO_MARKER)
        lock = take_to_seal(place, epoch)
        if lock is None:
            return SealWaits(reason=SealWait.BEING_WRITTEN)
        with lock:
            known = lock.read().record
            if known is not None:
                _mend_fence(place, epoch)
                return SealWaits(reason=SealWait.SEALED, record=known)
            content = _read_content(place, epoch)
            waits = _find_hindrance(content, lock, quiet_seconds=quiet_seconds)
            if waits is not None:
                return waits
            return _seal(place, lock, content, _Seal(epoch=epoch, id=seal_id, by=sealed_by))


@dataclass(frozen=True, slots=True)
class _Seal:
    epoch: str
    id: UUID
    by: SealedBy


def _seal(place: Place, lock: EntryLock, content: _Content, seal: _Seal) -> SealRecord:
    with place.directory(Zone.UPLOAD, seal.epoch) as epoch_fd:
        sync_tree(epoch_fd)
    sync_upload(place)
    record = SealRecord(
        id=seal.id,
        district=place.district,
        epoch=seal.epoch,
        sealed_at=_to_moment(_read_clock(lock)),
        marker=Marker.CHECK if Marker.CHECK in content.markers else Marker.COMPLETE,
        source=seal.by.source,
        session=seal.by.session,
        session_open=seal.by.session_open,
        fingerprint=seal.by.fingerprint,
        files=content.files,
        directories=content.directories,
    )
    lock.add_seal(record)
    note_change(place, lambda usage: usage.sealing(content.amount))
    _mend_fence(place, seal.epoch)
    return record


def _mend_fence(place: Place, epoch: str) -> None:
    # The record is the truth; a fence that cannot be raised now is raised by who looks next.
    with suppress(OSError):
        raise_fence(place, epoch)


def _mend_fence_alone(place: Place, epoch: str) -> None:
    # Under the lock, for who moves the epoch away has let the fence down for a moment.
    if not has_fence(place, epoch):
        lock = take_to_seal(place, epoch)
        if lock is not None:
            with lock:
                _mend_fence(place, epoch)


def _find_hindrance(
    content: _Content, lock: EntryLock, *, quiet_seconds: float
) -> SealWaits | None:
    if not content.markers:
        return SealWaits(reason=SealWait.NO_MARKER)
    if content.torn:
        return SealWaits(reason=SealWait.TORN, names=content.torn)
    quiet_ns = _read_clock(lock) - content.changed_ns
    remaining = quiet_seconds - quiet_ns / _NANOSECONDS
    if quiet_seconds > 0 and remaining > 0:
        return SealWaits(reason=SealWait.QUIET, remaining_seconds=remaining)
    return None


def _read_content(place: Place, epoch: str) -> _Content:
    try:
        with place.directory(Zone.UPLOAD, epoch) as epoch_fd:
            return _sort_content(list(walk(epoch_fd)), find_markers(epoch_fd))
    except (FileNotFoundError, NotADirectoryError):
        return _Content(
            amount=Amount(), markers={}, files=(), directories=(), torn=(), changed_ns=0
        )


def _sort_content(everything: list[Found], markers: dict[Marker, os.stat_result]) -> _Content:
    everything.sort(key=lambda found: found.parts)
    files = [found for found in everything if not found.is_directory]
    return _Content(
        amount=Amount(sum(found.stat.st_size for found in files), len(everything)),
        markers=markers,
        files=tuple(
            SealedFile(
                name=found.text,
                size_bytes=found.stat.st_size,
                after_marker=is_late(found.stat.st_mode),
            )
            for found in files
            if len(found.parts) > 1 or marker_of(found.name) is None
        ),
        directories=tuple(found.text for found in everything if found.is_directory and found.parts),
        torn=tuple(found.text for found in files if not is_whole(found.stat.st_mode)),
        changed_ns=max(found.stat.st_ctime_ns for found in everything),
    )


def _read_clock(lock: EntryLock) -> int:
    """Return the time now by the clock of the file system, in nanoseconds since 1970 UTC."""
    os.utime(lock.descriptor)
    return os.fstat(lock.descriptor).st_mtime_ns


def _to_moment(nanoseconds: int) -> datetime:
    whole = datetime.fromtimestamp(nanoseconds // _NANOSECONDS, UTC)
    return whole.replace(microsecond=nanoseconds % _NANOSECONDS // 1000)


def read_record(tree: DistrictTree, epoch: str) -> SealRecord | None:
    """Return the seal of an epoch that lies in ``/upload``, or None."""
    stored = look_at_seal(tree.place, epoch)
    return None if stored is None else stored.record


def sealed_records(tree: DistrictTree) -> Iterator[SealRecord]:
    """Return the seals of all epochs that lie in ``/upload``, in no order.

    A fence that is missing, because somebody was killed, is raised on the way.
    """
    with tree.place.directory(LOCKS) as locks_fd:
        names = [name for name in list_names(locks_fd) if is_epoch_name(name)]
    for name in names:
        record = read_record(tree, name)
        if record is not None:
            _mend_fence_alone(tree.place, name)
            yield record


def marked_epochs(tree: DistrictTree) -> Iterator[str]:
    """Return the epochs that have a marker, whole or not, and no seal, in no order."""
    for name in _marked_directories(tree.place):
        if is_epoch_name(name) and read_record(tree, name) is None:
            yield name


def marked_others(tree: DistrictTree) -> Iterator[str]:
    """Return the directories in ``/upload`` that have a marker and are no epoch, in no order."""
    for name in _marked_directories(tree.place):
        if not is_epoch_name(name):
            yield name


def _marked_directories(place: Place) -> Iterator[str]:
    with place.upload() as upload_fd:
        names = list_names(upload_fd)
    for name in names:
        if read_markers(place, name):
            yield name


def sealed_path(tree: DistrictTree, epoch: str) -> Path:
    """Return where a sealed epoch lies that was not moved away; for reading only.

    Raises:  NotSealed, NoSuchFile, PlaceUnsupported.
    """
    if read_record(tree, epoch) is None:
        raise NotSealed(epoch)
    with translating(_path_of(epoch)), tree.place.directory(Zone.UPLOAD, epoch):
        return tree.place.path / Zone.UPLOAD / epoch


def _path_of(epoch: str) -> ServedPath:
    return ServedPath((Zone.UPLOAD, epoch))
