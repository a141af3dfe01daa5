# SPDX-License-Identifier: Apache-2.0
"""No path leads out of a district, whatever lies on the disk."""

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from nightdrop.core.errors import Refusal
from nightdrop.storage import confine
from nightdrop.storage.confine import Confinement, detect_confinement
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import (
    AlreadyThere,
    IsADirectory,
    NoSuchDistrict,
    NoSuchFile,
    NotADirectory,
    PlaceUnsupported,
)
from nightdrop.storage.tree import Tree
from storage.cast import EPOCH, at, begin, fetch, make_epoch, names, send

#: Everything that takes one path; a new method of DistrictTree belongs here.
CALLS: dict[str, Callable[[DistrictTree, str], object]] = {
    "stat": lambda tree, text: tree.stat(at(text)),
    "list": lambda tree, text: tree.list(at(text)),
    "open_read": lambda tree, text: tree.open_read(at(text)),
    "open_write": begin,
    "make_directory": lambda tree, text: tree.make_directory(at(text)),
    "remove_directory": lambda tree, text: tree.remove_directory(at(text)),
    "remove_file": lambda tree, text: tree.remove_file(at(text)),
    "rename from": lambda tree, text: tree.rename(at(text), at("/upload/new"), replace=True),
    "rename to": lambda tree, text: tree.rename(at("/upload/own"), at(text), replace=False),
    "set_times": lambda tree, text: tree.set_times(at(text), 1, 1),
    "truncate": lambda tree, text: tree.truncate(at(text), 0),
}


def on_disk(tree: DistrictTree, text: str) -> Path:
    return tree.place.path.joinpath(*at(text).parts)


@pytest.mark.parametrize("call", CALLS)
def test_a_link_on_the_way_is_not_followed(
    apple: DistrictTree, birch: DistrictTree, call: str
) -> None:
    send(apple, "/upload/own", b"apple")
    send(birch, "/upload/secret", b"birch")
    on_disk(apple, "/upload/link").symlink_to(birch.place.path / "upload")
    with pytest.raises(PlaceUnsupported):
        CALLS[call](apple, "/upload/link/secret")
    assert fetch(birch, "/upload/secret") == b"birch"
    assert names(birch, "/upload") == {"secret"}


@pytest.mark.parametrize("call", CALLS)
def test_a_link_at_the_end_is_not_followed(
    apple: DistrictTree, birch: DistrictTree, call: str
) -> None:
    send(apple, "/upload/own", b"apple")
    send(birch, "/upload/secret", b"birch")
    link = on_disk(apple, "/upload/link")
    link.symlink_to(birch.place.path / "upload" / "secret")
    with pytest.raises((PlaceUnsupported, NotADirectory, AlreadyThere)):
        CALLS[call](apple, "/upload/link")
    assert link.is_symlink()
    assert fetch(birch, "/upload/secret") == b"birch"


@pytest.mark.parametrize("call", CALLS)
def test_a_link_that_leads_nowhere_does_not_make_what_it_names(
    apple: DistrictTree, ground: Path, call: str
) -> None:
    send(apple, "/upload/own", b"apple")
    on_disk(apple, "/upload/link").symlink_to(ground / "made")
    with pytest.raises((PlaceUnsupported, NotADirectory, AlreadyThere)):
        CALLS[call](apple, "/upload/link")
    assert not (ground / "made").exists()


@pytest.mark.parametrize("served", ["upload", "upload-processed", "download"])
def test_a_served_directory_that_is_a_link_is_not_followed(
    apple: DistrictTree, birch: DistrictTree, served: str
) -> None:
    place = apple.place.path / served
    place.rename(apple.place.path / "away")
    place.symlink_to(birch.place.path / "upload")
    send(birch, "/upload/secret", b"birch")
    with pytest.raises(PlaceUnsupported):
        apple.list(at(f"/{served}"))
    with pytest.raises(PlaceUnsupported):
        apple.open_read(at(f"/{served}/secret"))
    assert served not in names(apple, "/")


@pytest.mark.parametrize("call", CALLS)
def test_not_even_a_link_within_the_district_is_followed(apple: DistrictTree, call: str) -> None:
    send(apple, "/upload/own", b"apple")
    apple.make_directory(at("/upload/real"))
    send(apple, "/upload/real/file", b"apple")
    on_disk(apple, "/upload/link").symlink_to("real")
    with pytest.raises(PlaceUnsupported):
        CALLS[call](apple, "/upload/link/file")
    assert fetch(apple, "/upload/real/file") == b"apple"


def plant_pipe(path: Path) -> None:
    os.mkfifo(path)


def plant_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def plant_device(path: Path) -> None:
    user = os.geteuid()
    os.seteuid(0)
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    os.chown(path, user, -1)
    os.seteuid(user)


PLANTS = [plant_pipe, plant_socket, *([plant_device] if os.getuid() == 0 else [])]


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("call", CALLS)
def test_what_is_neither_file_nor_directory_does_not_exist(
    apple: DistrictTree, plant: Callable[[Path], None], call: str
) -> None:
    send(apple, "/upload/own", b"apple")
    plant(on_disk(apple, "/upload/thing"))
    with pytest.raises((PlaceUnsupported, NotADirectory, AlreadyThere)):
        CALLS[call](apple, "/upload/thing")
    assert names(apple, "/upload") == {"own"}


def test_a_file_on_the_way_is_no_directory(apple: DistrictTree) -> None:
    send(apple, "/upload/own", b"apple")
    for call in CALLS.values():
        with pytest.raises(NotADirectory):
            call(apple, "/upload/own/x")


def test_what_is_not_served_cannot_be_named(apple: DistrictTree) -> None:
    make_epoch(apple)
    assert names(apple, "/") == {"upload", "upload-processed", "download"}
    for hidden in ("/locks", f"/locks/{EPOCH}", "/moved", "/writers"):
        with pytest.raises(Refusal):
            at(hidden)


def test_a_name_of_hostile_bytes_on_disk_is_passed_over(apple: DistrictTree) -> None:
    (apple.place.path / "upload" / os.fsdecode(b"\xff\xfe")).touch()
    assert names(apple, "/upload") == set()


def test_a_served_directory_is_no_file(apple: DistrictTree) -> None:
    for text in ("/", "/upload", "/download"):
        with pytest.raises(IsADirectory):
            apple.open_read(at(text))


def test_a_district_without_directories_is_refused_by_name(tree: Tree, apple: DistrictTree) -> None:
    nobody = tree.district(next(iter(tree.district_ids())).__class__(int=9))
    assert nobody.id != apple.id
    with pytest.raises(NoSuchDistrict) as refused:
        nobody.stat(at("/upload"))
    assert refused.value.district == nobody.id
    assert tree.district_ids() == [apple.id]


def test_a_district_that_is_a_link_is_refused(
    tree: Tree, apple: DistrictTree, birch: DistrictTree
) -> None:
    (birch.place.path).rename(birch.place.path.with_name("away"))
    birch.place.path.symlink_to(apple.place.path)
    with pytest.raises(NoSuchDistrict):
        birch.stat(at("/upload"))
    assert tree.district_ids() == [apple.id]


def test_a_rename_does_not_replace_where_the_kernel_cannot_promise_it(
    apple: DistrictTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(apple, "/upload/old", b"old")
    send(apple, "/upload/new", b"new")
    monkeypatch.setattr(confine, "_renameat2", None)
    with pytest.raises(AlreadyThere):
        apple.rename(at("/upload/old"), at("/upload/new"), replace=False)
    apple.rename(at("/upload/old"), at("/upload/other"), replace=False)
    assert names(apple, "/upload") == {"other", "new"}


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM, errno.EINVAL])
def test_without_openat2_paths_are_walked(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(root_fd: int | None, path: str) -> int:
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(confine, "_openat2", refuse)
    assert detect_confinement() is Confinement.WALK


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_nothing_stays_open(apple: DistrictTree) -> None:
    """Neither a refusal nor a success leaves a descriptor behind."""
    on_disk(apple, "/upload/link").symlink_to("/")
    send(apple, "/upload/own", b"apple")
    before = open_descriptors()
    for call in CALLS.values():
        for text in ("/upload/link", "/upload/link/x", "/upload/own/x", "/upload/none/x"):
            with pytest.raises(Refusal):
                call(apple, text)
    make_epoch(apple)
    list(apple.list(at("/upload")))
    apple.list(at("/upload")).close()
    assert open_descriptors() == before


def test_nothing_is_left_of_what_was_refused(apple: DistrictTree) -> None:
    for number in range(20):
        with pytest.raises(NoSuchFile):
            begin(apple, f"/upload/none-{number}/x")
    assert list((apple.place.path / "locks").iterdir()) == []
