# SPDX-License-Identifier: Apache-2.0
"""Files and directories as a client sees them."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightdrop.core.paths import FixedPlace, NameTooLong, ReadOnlyPlace, ServedPath, Zone
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import (
    AlreadyThere,
    DirectoryNotEmpty,
    DiskFull,
    EpochBusy,
    FileTooLarge,
    HandleClosed,
    IsADirectory,
    NoSuchFile,
    NotADirectory,
    NotOpenForReading,
)
from nightdrop.storage.tree import Tree
from storage.cast import STUDENTS, at, begin, fetch, lock_names, mode, names, send


def test_what_was_written_is_read(apple: DistrictTree) -> None:
    send(apple, "/upload/students.csv", STUDENTS)
    assert fetch(apple, "/upload/students.csv") == STUDENTS
    entry = apple.stat(at("/upload/students.csv"))
    assert entry.size_bytes == len(STUDENTS)
    assert not entry.is_directory
    assert entry.is_writable


def test_bytes_may_come_in_any_order(apple: DistrictTree) -> None:
    handle = begin(apple, "/upload/x")
    handle.write(6, b"world")
    handle.writev(0, [b"hello", b"", b" "])
    handle.close()
    assert fetch(apple, "/upload/x") == b"hello world"


@settings(
    max_examples=30,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.integers(0, 4000), st.lists(st.binary(max_size=700), max_size=5))))
def test_any_writes_end_in_the_same_bytes(
    apple: DistrictTree, writes: list[tuple[int, list[bytes]]]
) -> None:
    expected = bytearray()
    handle = begin(apple, "/upload/x", truncate=True)
    for offset, buffers in writes:
        handle.writev(offset, buffers)
        content = b"".join(buffers)
        if content:
            expected.extend(bytes(max(0, offset - len(expected))))
            expected[offset : offset + len(content)] = content
    handle.close()
    assert fetch(apple, "/upload/x") == expected


def test_more_buffers_than_one_call_takes_are_all_written(apple: DistrictTree) -> None:
    buffers = [b"%07d" % number for number in range(3000)]
    handle = begin(apple, "/upload/x")
    handle.writev(0, buffers)
    handle.close()
    assert fetch(apple, "/upload/x") == b"".join(buffers)


def test_a_call_that_writes_a_part_is_followed_by_another(
    apple: DistrictTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.pwritev
    monkeypatch.setattr(
        os, "pwritev", lambda fd, buffers, offset: original(fd, [buffers[0][:3]], offset)
    )
    handle = begin(apple, "/upload/x")
    handle.writev(0, [b"hello", b" ", b"world"])
    handle.close()
    assert fetch(apple, "/upload/x") == b"hello world"


def test_an_upload_is_resumed_or_begun_anew(apple: DistrictTree) -> None:
    send(apple, "/upload/x", b"hello")
    handle = begin(apple, "/upload/x", create=False)
    handle.write(5, b" world")
    handle.close()
    assert fetch(apple, "/upload/x") == b"hello world"
    handle = begin(apple, "/upload/x", append=True)
    handle.write(0, b"!")
    handle.close()
    assert fetch(apple, "/upload/x") == b"hello world!"
    send(apple, "/upload/x", b"new")
    assert fetch(apple, "/upload/x") == b"new"


def test_a_handle_may_read_what_it_was_opened_to_read(apple: DistrictTree) -> None:
    handle = begin(apple, "/upload/x", readable=True)
    handle.write(0, b"hello")
    assert handle.read(1, 3) == b"ell"
    assert handle.read(2**63, 3) == b""
    assert handle.stat().size_bytes == 5
    handle.close()
    handle = begin(apple, "/upload/x")
    with pytest.raises(NotOpenForReading):
        handle.read(0, 1)
    handle.abandon()


def test_opening_says_why_it_cannot(apple: DistrictTree) -> None:
    with pytest.raises(NoSuchFile):
        begin(apple, "/upload/x", create=False)
    send(apple, "/upload/x")
    with pytest.raises(AlreadyThere):
        begin(apple, "/upload/x", exclusive=True)
    apple.make_directory(at("/upload/d"))
    with pytest.raises(IsADirectory):
        begin(apple, "/upload/d")
    with pytest.raises(NoSuchFile):
        begin(apple, "/upload/none/x")
    with pytest.raises(NoSuchFile):
        apple.open_read(at("/upload/none"))
    with pytest.raises(IsADirectory):
        apple.open_read(at("/upload/d"))


CHANGES: dict[str, Callable[[DistrictTree, ServedPath], object]] = {
    "open": lambda tree, path: begin(tree, path.text),
    "make": lambda tree, path: tree.make_directory(path),
    "remove file": lambda tree, path: tree.remove_file(path),
    "remove directory": lambda tree, path: tree.remove_directory(path),
    "rename to": lambda tree, path: tree.rename(at("/upload/x"), path, replace=True),
    "rename from": lambda tree, path: tree.rename(path, at("/upload/x"), replace=True),
    "set times": lambda tree, path: tree.set_times(path, 1, 1),
    "truncate": lambda tree, path: tree.truncate(path, 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_where_a_district_only_reads_nothing_changes(apple: DistrictTree, change: str) -> None:
    for text in ("/upload-processed/x", "/download/x"):
        with pytest.raises(ReadOnlyPlace):
            CHANGES[change](apple, at(text))
    for text in ("/", "/upload", "/upload-processed", "/download"):
        with pytest.raises(FixedPlace):
            CHANGES[change](apple, at(text))


def test_times_are_kept(apple: DistrictTree) -> None:
    handle = begin(apple, "/upload/x")
    handle.write(0, b"x")
    handle.set_times(1_000_000_001, 1_000_000_002)
    handle.close()
    entry = apple.stat(at("/upload/x"))
    assert (entry.atime, entry.mtime) == (1_000_000_001, 1_000_000_002)
    apple.make_directory(at("/upload/d"))
    apple.set_times(at("/upload/d"), 5, 6)
    assert apple.stat(at("/upload/d")).mtime == 6
    with pytest.raises(NoSuchFile):
        apple.set_times(at("/upload/none"), 5, 6)


def test_a_file_is_cut_by_handle_and_by_path(apple: DistrictTree) -> None:
    send(apple, "/upload/x", b"hello")
    apple.truncate(at("/upload/x"), 3)
    assert fetch(apple, "/upload/x") == b"hel"
    handle = begin(apple, "/upload/x")
    handle.truncate(1)
    handle.close()
    assert fetch(apple, "/upload/x") == b"h"
    with pytest.raises(FileTooLarge):
        apple.truncate(at("/upload/x"), 2**64 - 1)


@pytest.mark.parametrize("offset", [2**63 - 1, 2**63, 2**64 - 1])
def test_an_offset_that_no_file_has_is_refused(apple: DistrictTree, offset: int) -> None:
    send(apple, "/upload/x", b"x")
    handle = begin(apple, "/upload/x")
    with pytest.raises(FileTooLarge):
        handle.write(offset, b"x")
    handle.abandon()
    reader = apple.open_read(at("/upload/x"))
    assert reader.read(offset, 1) == b""
    reader.close()


def test_a_closed_handle_does_nothing(apple: DistrictTree) -> None:
    send(apple, "/upload/x", b"hello")
    reader = apple.open_read(at("/upload/x"))
    reader.close()
    reader.close()
    with pytest.raises(HandleClosed):
        reader.read(0, 1)
    writer = begin(apple, "/upload/x")
    writer.close()
    writer.abandon()
    for use in (
        lambda: writer.write(0, b"x"),
        lambda: writer.truncate(0),
        lambda: writer.set_times(1, 1),
        writer.sync,
        writer.stat,
        writer.close,
    ):
        with pytest.raises(HandleClosed):
            use()
    assert fetch(apple, "/upload/x") == b"hello"
    assert mode(apple, "/upload/x") == 0o640


def fail_with(code: int) -> Callable[..., int]:
    def fail(*_args: object, **_options: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_failed_write_fails_the_close(
    apple: DistrictTree, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A client may overlook that a write failed; it must not overlook the close, too."""
    handle = begin(apple, "/upload/x")
    handle.write(0, b"hello")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail_with(code))
        with pytest.raises(DiskFull):
            handle.write(5, b" world")
    with pytest.raises(DiskFull):
        handle.write(5, b" again")
    with pytest.raises(DiskFull):
        handle.close()
    assert mode(apple, "/upload/x") == 0o600
    send(apple, "/upload/x", b"whole")
    assert mode(apple, "/upload/x") == 0o640


def test_a_disk_that_dies_is_no_refusal(
    apple: DistrictTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = begin(apple, "/upload/x")
    monkeypatch.setattr(os, "pwritev", fail_with(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        handle.write(0, b"x")
    with pytest.raises(OSError, match="Input/output error"):
        handle.close()
    assert mode(apple, "/upload/x") == 0o600


def test_directories_are_made_and_removed(apple: DistrictTree) -> None:
    apple.make_directory(at("/upload/d"))
    apple.make_directory(at("/upload/d/e"))
    with pytest.raises(AlreadyThere):
        apple.make_directory(at("/upload/d"))
    with pytest.raises(NoSuchFile):
        apple.make_directory(at("/upload/none/e"))
    with pytest.raises(DirectoryNotEmpty):
        apple.remove_directory(at("/upload/d"))
    send(apple, "/upload/d/e/x")
    with pytest.raises(DirectoryNotEmpty):
        apple.remove_directory(at("/upload/d/e"))
    with pytest.raises(NotADirectory):
        apple.remove_directory(at("/upload/d/e/x"))
    with pytest.raises(IsADirectory):
        apple.remove_file(at("/upload/d/e"))
    apple.remove_file(at("/upload/d/e/x"))
    apple.remove_directory(at("/upload/d/e"))
    apple.remove_directory(at("/upload/d"))
    assert names(apple, "/upload") == set()
    assert lock_names(apple) == set()


def test_a_directory_that_is_written_to_stays(apple: DistrictTree) -> None:
    apple.make_directory(at("/upload/d"))
    handle = begin(apple, "/upload/d/x")
    apple.remove_file(at("/upload/d/x"))
    with pytest.raises(EpochBusy) as refused:
        apple.remove_directory(at("/upload/d"))
    assert refused.value.epoch == "d"
    assert refused.value.retry
    handle.close()
    apple.remove_directory(at("/upload/d"))
    assert lock_names(apple) == set()


def test_a_file_may_be_removed_while_it_is_written(apple: DistrictTree) -> None:
    handle = begin(apple, "/upload/x")
    apple.remove_file(at("/upload/x"))
    handle.write(0, b"x")
    handle.close()
    assert names(apple, "/upload") == set()
    assert lock_names(apple) == set()


def test_a_directory_of_many_is_gone_through_without_looking_ahead(
    apple: DistrictTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(500):
        (apple.place.path / "upload" / f"{number}").touch()
    listing = apple.list(at("/upload"))
    first = [next(listing) for _ in range(100)]
    for entry in first:
        apple.remove_file(at(f"/upload/{entry.name}"))
    rest = list(listing)
    assert {entry.name for entry in [*first, *rest]} == {f"{number}" for number in range(500)}
    assert len(first) + len(rest) == 500
    with pytest.raises(StopIteration):
        next(listing)


def test_a_listing_that_is_closed_is_at_its_end(apple: DistrictTree) -> None:
    send(apple, "/upload/x")
    with apple.list(at("/upload")) as listing:
        pass
    assert list(listing) == []
    listing.close()


def test_what_is_shown_as_writable(apple: DistrictTree) -> None:
    shown = {entry.name: entry.is_writable for entry in apple.list(at("/"))}
    assert shown == {"upload": True, "upload-processed": False, "download": False}
    for zone in (Zone.UPLOAD, Zone.PROCESSED, Zone.DOWNLOAD):
        assert apple.stat(at(f"/{zone}")).is_writable is (zone is Zone.UPLOAD)
    assert not apple.stat(at("/")).is_writable
    assert apple.stat(at("/")).is_directory


def test_a_name_that_is_too_long_for_the_disk_is_refused_by_name(
    apple: DistrictTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "mkdir", fail_with(errno.ENAMETOOLONG))
    with pytest.raises(NameTooLong):
        apple.make_directory(at("/upload/d"))


def test_districts_are_made_once_and_again(tree: Tree, apple: DistrictTree) -> None:
    send(apple, "/upload/x", b"x")
    (apple.place.path / "download").rmdir()
    tree.add_district(apple.id)
    assert fetch(apple, "/upload/x") == b"x"
    assert "download" in names(apple, "/")
    assert tree.is_ready()
    assert tree.shared.stat().st_mode & 0o777 == 0o700
    tree.prepare()


def test_a_full_disk_is_told_as_such(apple: DistrictTree, monkeypatch: pytest.MonkeyPatch) -> None:
    apple.make_directory(at("/upload/d"))
    send(apple, "/upload/x")
    monkeypatch.setattr(os, "open", fail_when_made(os.open))
    for request in (
        lambda: begin(apple, "/upload/d/new"),
        lambda: begin(apple, "/upload/new"),
        lambda: apple.make_directory(at("/upload/new")),
        lambda: apple.rename(at("/upload/x"), at("/upload/new"), replace=False),
    ):
        with pytest.raises(DiskFull):
            request()


def fail_when_made(original: Callable[..., int]) -> Callable[..., int]:
    """Open what is there, and find no room for what is not."""

    def open_known(name: str, flags: int, *args: int, **options: int) -> int:
        try:
            return original(name, flags & ~os.O_CREAT, *args, **options)
        except FileNotFoundError:
            if flags & os.O_CREAT:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
            raise

    return open_known


def test_a_district_belongs_to_whom_the_tree_belongs(tree: Tree, ground: Path) -> None:
    owner = os.geteuid()
    if owner == 0:
        owner = 65534
        os.chown(ground / "districts", owner, owner)
    tree.add_district(UUID(int=3))
    for path in (ground / "districts" / str(UUID(int=3))).rglob("*"):
        assert path.stat().st_uid == owner


def test_the_tree_itself_may_be_a_link(tree: Tree, apple: DistrictTree) -> None:
    root = apple.place.tree
    link = root.with_name("link")
    link.symlink_to(root)
    send(apple, "/upload/x", b"x")
    assert fetch(Tree(link).district(apple.id), "/upload/x") == b"x"


def test_a_tree_that_is_away_is_not_ready(tree: Tree, apple: DistrictTree) -> None:
    apple.place.tree.rename(apple.place.tree.with_name("away"))
    assert not tree.is_ready()


def test_the_room_on_the_disk_is_told(apple: DistrictTree) -> None:
    space = apple.space()
    assert 0 < space.free.size_bytes <= space.total.size_bytes
