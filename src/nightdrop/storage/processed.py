# SPDX-License-Identifier: Apache-2.0
"""Moving a sealed epoch to ``/upload-processed``, with its reports in it.

The steps, all under the epoch's lock taken alone; each may be the last before a kill, and the
next call goes on from there:

1. Choose a name that is free and add it to the seal record. From here on the choice stands.
2. Write the reports into the epoch, where a repeated call finds and replaces them.
3. Rename the directory. It appears in ``/upload-processed`` whole, or not at all.
4. Take write permission from it again, which a rename by its owner needs, and bring both
   directories to the disk.
5. Move the lock file to ``moved/<id of the seal>``. The name in ``/upload`` is free by that,
   and a later call finds there what the directory is called now.
"""

import errno
import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from uuid import UUID

from nightdrop.core.epochs import Marker
from nightdrop.core.paths import ServedPath, Zone
from nightdrop.core.quota import Amount
from nightdrop.storage.confine import exists, rename_new
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import NotSealed, translating
from nightdrop.storage.locks import EntryLock, take_sealed
from nightdrop.storage.markers import find_markers
from nightdrop.storage.modes import DIRECTORY, SEALED_DIRECTORY, SEALED_FILE, WRITING
from nightdrop.storage.place import LOCKS, MOVED, Place
from nightdrop.storage.records import SealRecord, StoredSeal, read_stored
from nightdrop.storage.usage import note_change

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def move_to_processed(
    tree: DistrictTree,
    seal_id: UUID,
    record: SealRecord | None,
    *,
    reports: Mapping[str, bytes],
) -> str:
    """Move a sealed epoch to ``/upload-processed``; safe to repeat until it returns.

    `record` is what `seal.read_record` gives for the epoch now, None included: the epoch may
    have been moved before, and its name may belong to another one meanwhile. A report whose
    name was uploaded gets ``-2`` before its suffix.

    Returns: the name of the directory there: the epoch's, or that with ``-2``, ``-3``, ...
    Raises:  NotSealed when no such seal is known; DiskFull; NoSuchFile when somebody took the
             epoch away; NoSuchDistrict.
    """
    place = tree.place
    if record is None or record.id != seal_id:
        return _read_moved(place, seal_id)
    path = ServedPath((Zone.UPLOAD, record.epoch))
    lock = take_sealed(place, record.epoch)
    if lock is None:
        return _read_moved(place, seal_id)
    with lock, translating(path):
        stored = lock.read()
        if stored.record is None or stored.record.id != seal_id:
            return _read_moved(place, seal_id)
        return _move(place, lock, stored.record, target=stored.target, reports=reports)


def processed_path(tree: DistrictTree, name: str) -> Path:
    """Return where an epoch lies that was moved away; for reading only.

    Raises:  NoSuchFile.
    """
    path = ServedPath((Zone.PROCESSED, name))
    with translating(path), tree.place.served(path):
        return tree.place.path / Zone.PROCESSED / name


def _move(
    place: Place,
    lock: EntryLock,
    record: SealRecord,
    *,
    target: str | None,
    reports: Mapping[str, bytes],
) -> str:
    with place.upload() as upload_fd, place.directory(Zone.PROCESSED) as processed_fd:
        if exists(upload_fd, record.epoch):
            if target is None or exists(processed_fd, target):
                target = _choose_name(processed_fd, record.epoch)
                lock.add_target(target)
            with place.directory(Zone.UPLOAD, record.epoch) as epoch_fd:
                os.fchmod(epoch_fd, DIRECTORY)
                amount = _measure(epoch_fd, record)
                _write_reports(epoch_fd, record, reports)
            rename_new(upload_fd, record.epoch, processed_fd, target)
            note_change(place, lambda usage: usage.moving_away(amount))
        if target is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), record.epoch)
        with place.directory(Zone.PROCESSED, target) as epoch_fd:
            os.fchmod(epoch_fd, SEALED_DIRECTORY)
            os.fsync(epoch_fd)
        os.fsync(processed_fd)
        os.fsync(upload_fd)
    _retire_lock(place, record)
    return target


def _choose_name(processed_fd: int, epoch: str) -> str:
    names = itertools.chain([epoch], (f"{epoch}-{number}" for number in itertools.count(2)))
    return next(name for name in names if not exists(processed_fd, name))


def _measure(epoch_fd: int, record: SealRecord) -> Amount:
    """Return what an epoch was counted as when it was sealed."""
    markers = find_markers(epoch_fd).values()
    return Amount(
        sum(file.size_bytes for file in record.files) + sum(seen.st_size for seen in markers),
        1 + len(record.files) + len(record.directories) + len(markers),
    )


def _write_reports(epoch_fd: int, record: SealRecord, reports: Mapping[str, bytes]) -> None:
    taken = {
        *Marker,
        *(file.name for file in record.files),
        *record.directories,
    }
    for name, content in reports.items():
        free = next(candidate for candidate in _report_names(name) if candidate not in taken)
        taken.add(free)
        _write_report(epoch_fd, free, content)
    os.fsync(epoch_fd)


def _report_names(name: str) -> Iterator[str]:
    yield name
    path = PurePosixPath(name)
    for number in itertools.count(2):
        yield f"{path.stem}-{number}{path.suffix}"


def _write_report(epoch_fd: int, name: str, content: bytes) -> None:
    # What an interrupted call left cannot be opened for writing any more.
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=epoch_fd)
    descriptor = os.open(name, _NEW_FILE, WRITING, dir_fd=epoch_fd)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fchmod(descriptor, SEALED_FILE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _retire_lock(place: Place, record: SealRecord) -> None:
    with place.directory(LOCKS) as locks_fd, place.directory(MOVED) as moved_fd:
        os.rename(record.epoch, str(record.id), src_dir_fd=locks_fd, dst_dir_fd=moved_fd)
        os.fsync(moved_fd)
        os.fsync(locks_fd)


def _read_moved(place: Place, seal_id: UUID) -> str:
    stored = _read_retired(place, seal_id)
    if stored is None or stored.record is None or stored.target is None:
        raise NotSealed(str(seal_id))
    return stored.target


def _read_retired(place: Place, seal_id: UUID) -> StoredSeal | None:
    with place.directory(MOVED) as moved_fd:
        try:
            descriptor = os.open(
                str(seal_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=moved_fd
            )
        except FileNotFoundError:
            return None
    try:
        return read_stored(descriptor)
    finally:
        os.close(descriptor)
