# SPDX-License-Identifier: Apache-2.0
"""A disk that is really full: what was stored stays, what was not is known not to be."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import DiskFull
from nightdrop.storage.processed import move_to_processed
from nightdrop.storage.seal import SealWait, read_record
from nightdrop.storage.tree import Tree
from nightdrop.storage.usage import count_anew, look_at_count, measure_upload
from storage.cast import (
    EPOCH,
    OTHER_EPOCH,
    STUDENTS,
    at,
    begin,
    fetch,
    make_epoch,
    mode,
    names,
    seal,
    send,
    why_not,
)
from storage.small_disk import on_small_disk

pytestmark = [
    pytest.mark.needs_host,
    pytest.mark.parametrize(
        "ground", ["root" if os.geteuid() == 0 else "ordinary user"], indirect=True
    ),
]

E = f"/upload/{EPOCH}"
LARGE = f"/upload/{OTHER_EPOCH}"
PART = b"x" * 65536

OnSmallDisk = Callable[..., None]


@pytest.fixture
def small(ground: Path) -> OnSmallDisk:
    """Do something with a district whose disk has 2 MiB."""

    def run(work: Callable[[DistrictTree], object], *, options: str = "size=2m") -> None:
        def prepared() -> None:
            tree = Tree(ground)
            tree.prepare()
            tree.add_district(UUID(int=1))
            work(tree.district(UUID(int=1)))

        on_small_disk(ground, prepared, options=options)

    return run


def fill(tree: DistrictTree, path: str) -> int:
    """Write a file until the disk is full, close it in vain; return how much was written."""
    handle = begin(tree, path)
    written = 0
    with suppress(DiskFull):
        while True:
            handle.write(written, PART)
            written += len(PART)
    with pytest.raises(DiskFull):
        handle.close()
    return written


def test_what_was_stored_is_unharmed_and_what_was_not_never_seals(small: OnSmallDisk) -> None:
    def work(tree: DistrictTree) -> None:
        make_epoch(tree)
        tree.make_directory(at(LARGE))
        send(tree, f"{LARGE}/students.csv", STUDENTS)
        assert fill(tree, f"{LARGE}/guardians.csv") > 1 << 20
        assert mode(tree, f"{LARGE}/guardians.csv") == 0o600
        assert fetch(tree, f"{E}/students.csv") == STUDENTS
        assert fetch(tree, f"{LARGE}/students.csv") == STUDENTS
        send(tree, f"{LARGE}/COMPLETE")
        assert why_not(tree, OTHER_EPOCH) is SealWait.TORN
        # Names can still be changed, and removing makes room.
        tree.rename(at(f"{LARGE}/guardians.csv"), at(f"{LARGE}/g.csv"), replace=False)
        tree.remove_file(at(f"{LARGE}/g.csv"))
        assert look_at_count(tree.place).usage == measure_upload(tree.place)
        send(tree, f"{LARGE}/guardians.csv", PART * 16)
        assert len(seal(tree, OTHER_EPOCH).files) == 2

    small(work)


def test_a_handle_that_met_a_full_disk_does_not_make_a_file_whole(small: OnSmallDisk) -> None:
    """Not even when there is room again: its client may not have noticed."""

    def work(tree: DistrictTree) -> None:
        send(tree, "/upload/x", PART * 20)
        handle = begin(tree, "/upload/y")
        handle.write(0, PART)
        with pytest.raises(DiskFull):
            handle.write(len(PART), PART * 20)
        tree.remove_file(at("/upload/x"))
        for use in (lambda: handle.write(len(PART), PART), handle.close):
            with pytest.raises(DiskFull):
                use()
        assert mode(tree, "/upload/y") == 0o600
        send(tree, "/upload/y", PART * 20)
        assert mode(tree, "/upload/y") == 0o640
        assert count_anew(tree.place, older_than_seconds=0)
        assert look_at_count(tree.place).usage == measure_upload(tree.place)

    small(work)


def test_no_room_for_another_name(small: OnSmallDisk) -> None:
    """A file system may have room for bytes, and none for files."""

    def work(tree: DistrictTree) -> None:
        make_epoch(tree)
        for number in range(1000):
            try:
                send(tree, f"{E}/{number}")
            except DiskFull:
                break
        assert 5 < number < 30
        for request in (
            lambda: begin(tree, f"{E}/new"),
            lambda: tree.make_directory(at(f"{E}/new")),
            lambda: tree.make_directory(at("/upload/new")),
        ):
            with pytest.raises(DiskFull):
                request()
        assert names(tree, "/upload") == {EPOCH}
        assert "new" not in names(tree, E)
        assert look_at_count(tree.place).usage == measure_upload(tree.place)
        tree.remove_file(at(f"{E}/0"))
        send(tree, f"{E}/again", STUDENTS)
        assert len(seal(tree).files) == number + 1

    small(work, options="size=2m,nr_inodes=30")


def test_an_epoch_seals_and_moves_once_there_is_room(small: OnSmallDisk) -> None:
    """A seal record or report that finds no room leaves everything as it was."""

    def work(tree: DistrictTree) -> None:
        make_epoch(tree)
        fill(tree, "/upload/x")
        # The last page, too.
        with suppress(DiskFull):
            for number in range(100):
                send(tree, f"/upload/{number}", PART[:4096])
        with pytest.raises(DiskFull):
            seal(tree)
        assert read_record(tree, EPOCH) is None
        assert fetch(tree, f"{E}/students.csv") == STUDENTS
        tree.remove_file(at("/upload/x"))
        record = seal(tree)
        fill(tree, "/upload/x")
        reports = {"REPORT.txt": PART * 2}
        with pytest.raises(DiskFull):
            move_to_processed(tree, record.id, record, reports=reports)
        assert EPOCH in names(tree, "/upload")
        tree.remove_file(at("/upload/x"))
        assert move_to_processed(tree, record.id, record, reports=reports) == EPOCH
        assert fetch(tree, f"/upload-processed/{EPOCH}/students.csv") == STUDENTS

    small(work)


def test_room_that_is_missed_only_at_the_end_is_missed_in_time(
    small: OnSmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system may tell of a full disk when a file is closed, and not before."""

    def fail(descriptor: int) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), descriptor)

    def work(tree: DistrictTree) -> None:
        handle = begin(tree, "/upload/x")
        handle.write(0, PART)
        with monkeypatch.context() as patch:
            patch.setattr(os, "dup", fail)
            with pytest.raises(DiskFull):
                handle.close()
        assert mode(tree, "/upload/x") == 0o600

    small(work)
