# SPDX-License-Identifier: Apache-2.0
"""What is on the disk, and in which order it got there, when a client sees success.

A disk may keep a change of mode and lose content that was written before it. So the order of
calls is looked at, not only that they were made.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from nightdrop.storage.district import DistrictTree
from nightdrop.storage.markers import sync_epoch
from nightdrop.storage.place import Place
from nightdrop.storage.processed import move_to_processed
from storage.cast import EPOCH, at, begin, mode, seal, send
from storage.killing import watched_calls

E = f"/upload/{EPOCH}"


@dataclass
class Trace:
    """What was done, in order: ("fsync", inode) and ("whole", inode) and ("rename", name)."""

    steps: list[tuple[str, int | str]] = field(default_factory=list)

    def note(self, name: str, args: tuple[Any, ...]) -> None:
        if name == "fsync":
            self.steps.append(("fsync", os.fstat(args[0]).st_ino))
        elif name == "fchmod" and args[1] & 0o040 and not args[1] & stat.S_IXUSR:
            self.steps.append(("whole", os.fstat(args[0]).st_ino))
        elif name == "rename":
            self.steps.append(("rename", args[1]))
        elif name == "_rename_noreplace":
            self.steps.append(("rename", args[3]))

    def place(self, step: str, subject: int | str) -> int:
        """Return when a step was made first."""
        return self.steps.index((step, subject))

    def last(self, step: str, subject: int | str) -> int:
        """Return when a step was made last."""
        return max(number for number, made in enumerate(self.steps) if made == (step, subject))


def traced(work: Callable[[], object]) -> Trace:
    trace = Trace()
    with watched_calls(trace.note):
        work()
    return trace


def inode(tree: DistrictTree, text: str) -> int:
    return tree.place.path.joinpath(*at(text).parts).stat().st_ino


@pytest.fixture
def epoch(apple: DistrictTree) -> list[int]:
    """An epoch without a marker; the inodes of all that is in it, and itself, and /upload."""
    apple.make_directory(at(E))
    apple.make_directory(at(f"{E}/sub"))
    send(apple, f"{E}/students.csv", b"1")
    send(apple, f"{E}/sub/more.csv", b"2")
    return [
        inode(apple, text)
        for text in (E, f"{E}/sub", f"{E}/students.csv", f"{E}/sub/more.csv", "/upload")
    ]


def test_a_marker_becomes_whole_after_all_else_is_on_the_disk(
    apple: DistrictTree, epoch: list[int]
) -> None:
    handle = begin(apple, f"{E}/COMPLETE")
    marker = inode(apple, f"{E}/COMPLETE")
    trace = traced(handle.close)
    whole = trace.place("whole", marker)
    for other in [*epoch, marker]:
        assert trace.place("fsync", other) < whole
    assert trace.last("fsync", marker) > whole


def test_a_later_file_becomes_whole_after_its_content_is_on_the_disk(
    apple: DistrictTree, epoch: list[int]
) -> None:
    send(apple, f"{E}/COMPLETE")
    handle = begin(apple, f"{E}/sub/guardians.csv")
    file = inode(apple, f"{E}/sub/guardians.csv")
    trace = traced(handle.close)
    assert trace.place("fsync", file) < trace.place("whole", file) < trace.last("fsync", file)
    assert trace.place("fsync", inode(apple, f"{E}/sub")) < trace.place("whole", file)


def test_also_while_the_marker_is_still_open(apple: DistrictTree, epoch: list[int]) -> None:
    marker = begin(apple, f"{E}/COMPLETE")
    handle = begin(apple, f"{E}/guardians.csv")
    file = inode(apple, f"{E}/guardians.csv")
    trace = traced(handle.close)
    assert trace.place("fsync", file) < trace.place("whole", file)
    assert mode(apple, f"{E}/guardians.csv") == 0o640
    marker.close()


def test_a_file_without_a_marker_is_not_waited_for(apple: DistrictTree, epoch: list[int]) -> None:
    handle = begin(apple, f"{E}/guardians.csv")
    assert [step for step, _ in traced(handle.close).steps] == ["whole"]


def test_a_rename_to_a_marker_comes_after_all_else(apple: DistrictTree, epoch: list[int]) -> None:
    send(apple, f"{E}/x")
    file = inode(apple, f"{E}/x")
    trace = traced(lambda: apple.rename(at(f"{E}/x"), at(f"{E}/COMPLETE"), replace=False))
    rename = trace.place("rename", "COMPLETE")
    for other in [*epoch, file]:
        assert trace.place("fsync", other) < rename
    assert trace.last("fsync", inode(apple, E)) > rename


def test_what_closes_during_a_rename_to_a_marker_is_on_the_disk_too(
    apple: DistrictTree, epoch: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was no marker when it closed, and most was on the disk already."""
    send(apple, f"{E}/x")
    handle = begin(apple, f"{E}/guardians.csv")
    file = inode(apple, f"{E}/guardians.csv")
    syncing = "nightdrop.storage.renames.sync_epoch"

    def sync_and_close(place: Place, name: str) -> None:
        monkeypatch.setattr(syncing, sync_epoch)
        sync_epoch(place, name)
        handle.write(0, b"late")
        handle.close()

    monkeypatch.setattr(syncing, sync_and_close)
    trace = traced(lambda: apple.rename(at(f"{E}/x"), at(f"{E}/COMPLETE"), replace=False))
    synced_again = max(
        number
        for number, step in enumerate(trace.steps[: trace.place("rename", "COMPLETE")])
        if step == ("fsync", file)
    )
    assert trace.place("whole", file) < synced_again


def test_a_rename_to_a_marked_epoch_comes_after_all_in_it(apple: DistrictTree) -> None:
    apple.make_directory(at("/upload/new"))
    send(apple, "/upload/new/students.csv")
    send(apple, "/upload/new/COMPLETE")
    inodes = [
        inode(apple, text)
        for text in ("/upload/new", "/upload/new/students.csv", "/upload/new/COMPLETE")
    ]
    trace = traced(lambda: apple.rename(at("/upload/new"), at(E), replace=False))
    rename = trace.place("rename", EPOCH)
    for each in inodes:
        assert trace.place("fsync", each) < rename
    assert trace.last("fsync", inode(apple, "/upload")) > rename


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.remove_file(at(f"{E}/students.csv")),
        lambda tree: tree.remove_file(at(f"{E}/COMPLETE")),
        lambda tree: tree.make_directory(at(f"{E}/new")),
        lambda tree: tree.rename(at(f"{E}/students.csv"), at(f"{E}/new"), replace=False),
        lambda tree: tree.rename(at(f"{E}/COMPLETE"), at(f"{E}/new"), replace=False),
        lambda tree: tree.rename(at(f"{E}/COMPLETE"), at("/upload/new"), replace=False),
        lambda tree: tree.rename(at("/upload/own"), at(f"{E}/new"), replace=False),
    ],
)
def test_names_that_change_beside_a_marker_are_on_the_disk(
    apple: DistrictTree, epoch: list[int], change: Callable[[DistrictTree], object]
) -> None:
    send(apple, "/upload/own")
    send(apple, f"{E}/COMPLETE")
    trace = traced(lambda: change(apple))
    assert trace.place("fsync", inode(apple, E)) >= 0


def test_a_directory_moved_into_a_marked_epoch_is_on_the_disk(
    apple: DistrictTree, epoch: list[int]
) -> None:
    send(apple, f"{E}/COMPLETE")
    apple.make_directory(at("/upload/new"))
    send(apple, "/upload/new/x")
    file = inode(apple, "/upload/new/x")
    trace = traced(lambda: apple.rename(at("/upload/new"), at(f"{E}/new"), replace=False))
    assert trace.place("fsync", file) < trace.place("rename", "new")


def test_a_seal_is_written_after_all_that_it_speaks_of(
    apple: DistrictTree, epoch: list[int]
) -> None:
    send(apple, f"{E}/COMPLETE")
    marker = inode(apple, f"{E}/COMPLETE")
    trace = traced(lambda: seal(apple))
    lock = (apple.place.path / "locks" / EPOCH).stat().st_ino
    record = trace.place("fsync", lock)
    for other in [*epoch, marker]:
        assert trace.place("fsync", other) < record
    locks = (apple.place.path / "locks").stat().st_ino
    assert record < trace.place("fsync", locks)


def test_a_move_keeps_its_order(apple: DistrictTree, epoch: list[int]) -> None:
    """The choice of a name, the reports, the rename, the names, and only then the lock."""
    send(apple, f"{E}/COMPLETE")
    record = seal(apple)
    place = apple.place.path
    lock = (place / "locks" / EPOCH).stat().st_ino
    directory = inode(apple, E)
    trace = traced(
        lambda: move_to_processed(apple, record.id, record, reports={"REPORT.txt": b"x"})
    )
    report = inode(apple, f"/upload-processed/{EPOCH}/REPORT.txt")
    rename, retire = trace.place("rename", EPOCH), trace.place("rename", str(record.id))
    assert trace.place("fsync", lock) < rename
    assert trace.place("fsync", report) < rename
    assert trace.place("fsync", directory) < rename
    for served in ("upload", "upload-processed"):
        assert rename < trace.last("fsync", (place / served).stat().st_ino) < retire
    for hidden in ("locks", "moved"):
        assert retire < trace.last("fsync", (place / hidden).stat().st_ino)


def test_a_marker_whose_disk_fails_is_not_whole(
    apple: DistrictTree, epoch: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = begin(apple, f"{E}/COMPLETE")

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            handle.close()
    assert mode(apple, f"{E}/COMPLETE") == 0o600
    assert send(apple, f"{E}/COMPLETE").marker == EPOCH


def test_a_file_whose_disk_fails_at_the_very_end_is_not_whole(
    apple: DistrictTree, epoch: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    send(apple, f"{E}/COMPLETE")
    handle = begin(apple, f"{E}/x")
    original = os.fsync

    def fail_when_whole(descriptor: int) -> None:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) == 0o641:
            raise OSError(28, "No space left on device")
        original(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_when_whole)
        with pytest.raises(Exception, match="x"):
            handle.close()
    assert mode(apple, f"{E}/x") == 0o600
