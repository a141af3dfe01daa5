# SPDX-License-Identifier: Apache-2.0
import pytest

from nightdrop.core.paths import MAX_DEPTH
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import (
    AlreadyThere,
    DirectoryNotEmpty,
    EpochBusy,
    InsideItself,
    IsADirectory,
    NoSuchFile,
    NotADirectory,
    PlaceRefused,
    TreeTooDeep,
)
from storage.cast import EPOCH, OTHER_EPOCH, at, begin, fetch, lock_names, make_epoch, names, send


def move(tree: DistrictTree, old: str, new: str, *, replace: bool = False) -> str | None:
    marked = tree.rename(at(old), at(new), replace=replace)
    return None if marked is None else marked.epoch


def test_a_plain_rename_replaces_nothing(apple: DistrictTree) -> None:
    send(apple, "/upload/a", b"a")
    send(apple, "/upload/b", b"b")
    with pytest.raises(AlreadyThere):
        move(apple, "/upload/a", "/upload/b")
    assert fetch(apple, "/upload/b") == b"b"
    move(apple, "/upload/a", "/upload/c")
    assert names(apple, "/upload") == {"b", "c"}


def test_a_posix_rename_replaces(apple: DistrictTree) -> None:
    send(apple, "/upload/a", b"a")
    send(apple, "/upload/b", b"b")
    move(apple, "/upload/a", "/upload/b", replace=True)
    assert fetch(apple, "/upload/b") == b"a"
    assert names(apple, "/upload") == {"b"}


@pytest.mark.parametrize("replace", [False, True])
def test_to_its_own_name(apple: DistrictTree, *, replace: bool) -> None:
    with pytest.raises(NoSuchFile):
        move(apple, "/upload/a", "/upload/a", replace=replace)
    send(apple, "/upload/a", b"a")
    if replace:
        move(apple, "/upload/a", "/upload/a", replace=True)
    else:
        with pytest.raises(AlreadyThere):
            move(apple, "/upload/a", "/upload/a")
    assert fetch(apple, "/upload/a") == b"a"


@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        ("/upload/none", "/upload/x", NoSuchFile),
        ("/upload/d/none", "/upload/d/x", NoSuchFile),
        ("/upload/a", "/upload/none/x", NoSuchFile),
        ("/upload/a", "/upload/b/x", NotADirectory),
        ("/upload/a", "/upload/d", IsADirectory),
        ("/upload/d", "/upload/a", NotADirectory),
        ("/upload/e", "/upload/d", DirectoryNotEmpty),
        ("/upload/d", "/upload/d/inner", InsideItself),
        ("/upload/d", "/upload/d/sub/inner", InsideItself),
        ("/upload/d/sub", "/upload/d", DirectoryNotEmpty),
    ],
)
def test_it_says_why_it_cannot(
    apple: DistrictTree, old: str, new: str, refusal: type[PlaceRefused]
) -> None:
    send(apple, "/upload/a")
    send(apple, "/upload/b")
    apple.make_directory(at("/upload/e"))
    apple.make_directory(at("/upload/d"))
    apple.make_directory(at("/upload/d/sub"))
    with pytest.raises(refusal):
        move(apple, old, new, replace=True)
    assert names(apple, "/upload") == {"a", "b", "d", "e"}


def test_an_epoch_that_is_written_to_keeps_its_name(apple: DistrictTree) -> None:
    apple.make_directory(at("/upload/tmp"))
    handle = begin(apple, "/upload/tmp/students.csv")
    with pytest.raises(EpochBusy) as refused:
        move(apple, "/upload/tmp", f"/upload/{EPOCH}")
    assert refused.value.epoch == "tmp"
    handle.close()
    move(apple, "/upload/tmp", f"/upload/{EPOCH}")
    assert names(apple, f"/upload/{EPOCH}") == {"students.csv"}
    assert lock_names(apple) <= {EPOCH}


def test_nothing_leaves_an_epoch_that_is_written_to(apple: DistrictTree) -> None:
    """A handle holds the lock of the epoch in which its file was opened, and of no other."""
    apple.make_directory(at(f"/upload/{EPOCH}"))
    apple.make_directory(at(f"/upload/{OTHER_EPOCH}"))
    handle = begin(apple, f"/upload/{EPOCH}/x")
    with pytest.raises(EpochBusy):
        move(apple, f"/upload/{EPOCH}/x", f"/upload/{OTHER_EPOCH}/x")
    with pytest.raises(EpochBusy):
        move(apple, f"/upload/{EPOCH}/x", "/upload/x")
    handle.close()
    move(apple, f"/upload/{EPOCH}/x", f"/upload/{OTHER_EPOCH}/x")
    assert names(apple, f"/upload/{OTHER_EPOCH}") == {"x"}


def test_a_file_is_renamed_in_an_epoch_while_others_are_written(apple: DistrictTree) -> None:
    """WinSCP sends `students.csv.filepart` and renames it."""
    apple.make_directory(at(f"/upload/{EPOCH}"))
    handle = begin(apple, f"/upload/{EPOCH}/guardians.csv")
    send(apple, f"/upload/{EPOCH}/students.csv.filepart")
    move(apple, f"/upload/{EPOCH}/students.csv.filepart", f"/upload/{EPOCH}/students.csv")
    handle.close()
    assert names(apple, f"/upload/{EPOCH}") == {"students.csv", "guardians.csv"}


def test_a_file_may_be_renamed_while_it_is_written(apple: DistrictTree) -> None:
    apple.make_directory(at("/upload/d"))
    handle = begin(apple, "/upload/d/x")
    move(apple, "/upload/d/x", "/upload/d/y")
    handle.write(0, b"y")
    handle.close()
    assert fetch(apple, "/upload/d/y") == b"y"


def test_directories_never_get_deeper_than_paths(apple: DistrictTree) -> None:
    deep = "/upload" + "/d" * (MAX_DEPTH - 2)
    for depth in range(2, MAX_DEPTH):
        apple.make_directory(at("/upload" + "/d" * (depth - 1)))
    apple.make_directory(at("/upload/e"))
    move(apple, "/upload/e", f"{deep}/e")
    apple.make_directory(at("/upload/e"))
    apple.make_directory(at("/upload/e/f"))
    with pytest.raises(TreeTooDeep):
        move(apple, "/upload/e", f"{deep}/g")
    apple.make_directory(at("/upload/h"))
    with pytest.raises(TreeTooDeep):
        move(apple, "/upload/d", "/upload/h/d")
    move(apple, "/upload/d", "/upload/i")
    assert names(apple, "/upload") == {"e", "h", "i"}


def test_locks_follow_their_entries(apple: DistrictTree) -> None:
    send(apple, "/upload/a")
    move(apple, "/upload/a", "/upload/b")
    assert lock_names(apple) <= {"b"}
    make_epoch(apple)
    move(apple, f"/upload/{EPOCH}", f"/upload/{OTHER_EPOCH}")
    assert lock_names(apple) <= {"b", OTHER_EPOCH}


def test_a_renamed_directory_holding_a_marker_is_a_marked_epoch(apple: DistrictTree) -> None:
    apple.make_directory(at("/upload/tmp"))
    send(apple, "/upload/tmp/students.csv")
    assert send(apple, "/upload/tmp/COMPLETE").marker is None
    assert move(apple, "/upload/tmp", f"/upload/{EPOCH}") == EPOCH
    assert move(apple, f"/upload/{EPOCH}", "/upload/again") is None
    assert move(apple, "/upload/again", f"/upload/{OTHER_EPOCH}") == OTHER_EPOCH


def test_a_renamed_directory_without_a_marker_is_none(apple: DistrictTree) -> None:
    apple.make_directory(at("/upload/tmp"))
    send(apple, "/upload/tmp/complete")
    assert move(apple, "/upload/tmp", f"/upload/{EPOCH}") is None


def test_a_file_renamed_to_a_marker_marks(apple: DistrictTree) -> None:
    apple.make_directory(at(f"/upload/{EPOCH}"))
    send(apple, f"/upload/{EPOCH}/COMPLETE.filepart")
    assert move(apple, f"/upload/{EPOCH}/COMPLETE.filepart", f"/upload/{EPOCH}/COMPLETE") == EPOCH
    send(apple, "/upload/done")
    assert move(apple, "/upload/done", f"/upload/{EPOCH}/CHECK") == EPOCH


def test_what_is_no_marker_marks_nothing(apple: DistrictTree) -> None:
    apple.make_directory(at(f"/upload/{EPOCH}"))
    apple.make_directory(at(f"/upload/{EPOCH}/sub"))
    apple.make_directory(at("/upload/other"))
    for new in (
        f"/upload/{EPOCH}/complete",
        f"/upload/{EPOCH}/sub/COMPLETE",
        "/upload/other/COMPLETE",
        "/upload/COMPLETE",
    ):
        send(apple, "/upload/done")
        assert move(apple, "/upload/done", new) is None
    apple.make_directory(at("/upload/dir"))
    assert move(apple, "/upload/dir", f"/upload/{EPOCH}/COMPLETE") is None


def test_a_torn_file_renamed_to_a_marker_marks_nothing(apple: DistrictTree) -> None:
    apple.make_directory(at(f"/upload/{EPOCH}"))
    begin(apple, f"/upload/{EPOCH}/x").abandon()
    assert move(apple, f"/upload/{EPOCH}/x", f"/upload/{EPOCH}/COMPLETE") is None


def test_a_file_renamed_to_a_marker_while_open_marks_when_it_closes(apple: DistrictTree) -> None:
    apple.make_directory(at(f"/upload/{EPOCH}"))
    handle = begin(apple, f"/upload/{EPOCH}/x")
    assert move(apple, f"/upload/{EPOCH}/x", f"/upload/{EPOCH}/COMPLETE") is None
    assert handle.close().marker == EPOCH


def test_a_marker_renamed_away_while_open_marks_nothing(apple: DistrictTree) -> None:
    apple.make_directory(at(f"/upload/{EPOCH}"))
    handle = begin(apple, f"/upload/{EPOCH}/COMPLETE")
    move(apple, f"/upload/{EPOCH}/COMPLETE", f"/upload/{EPOCH}/x")
    assert handle.close().marker is None
