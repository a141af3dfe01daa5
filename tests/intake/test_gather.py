# SPDX-License-Identifier: Apache-2.0
"""Finding the files of an offline check, also in archives that mean harm."""

import zipfile
from pathlib import Path

import pytest

from nightdrop.intake.gather import (
    ArchiveLimits,
    ArchiveTooLarge,
    BrokenArchive,
    CannotGather,
    EncryptedArchive,
    Gathered,
    GatheredFile,
    NoSuchPath,
    NothingToCheck,
    gather,
)

SMALL = ArchiveLimits(members=3, bytes=1000, ratio=2, small_bytes=100)


def archive(path: Path, **members: bytes) -> Path:
    """Write a deflated archive; ``__`` in a name stands for the slash."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(name.replace("__", "/"), content)
    return path


def collect(tmp_path: Path, *paths: Path) -> Gathered:
    return gather(paths, scratch=tmp_path / "scratch", limits=SMALL)


def test_folder_gives_its_files_and_its_marker(tmp_path: Path) -> None:
    night = tmp_path / "20260901-020000"
    (night / "inner").mkdir(parents=True)
    for name in ("students.csv", "CHECK", "COMPLETE", "inner/guardians.csv"):
        (night / name).write_bytes(b"x")
    assert collect(tmp_path, night) == Gathered(
        title="20260901-020000",
        files=(GatheredFile("students.csv", night / "students.csv"),),
        marker="CHECK",
    )


def test_single_files_are_one_delivery(tmp_path: Path) -> None:
    paths = [tmp_path / "students.csv", tmp_path / "guardians.csv"]
    for path in paths:
        path.write_bytes(b"x")
    assert [file.path for file in collect(tmp_path, *paths).files] == paths


def test_archive_is_unpacked_under_names_of_ours(tmp_path: Path) -> None:
    path = archive(tmp_path / "night.ZIP", a=b"1", **{"..__..__etc__students.csv": b"2"})
    found = collect(tmp_path, path)
    assert [(file.name, file.path.read_bytes()) for file in found.files] == [
        ("a", b"1"),
        ("students.csv", b"2"),
    ]
    scratch = tmp_path / "scratch" / "0"
    assert [file.path for file in found.files] == [scratch / "0000", scratch / "0001"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["night.ZIP", "scratch"]


def test_folders_and_leavings_of_macos_are_passed_over(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "night.zip",
        export__=b"",
        **{"export__students.csv": b"1", "export__.DS_Store": b"2"},
    )
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("__MACOSX/export/._students.csv", b"3")
    assert [file.name for file in collect(tmp_path, path).files] == ["students.csv"]


@pytest.mark.parametrize(
    "members",
    [
        {str(number): b"x" for number in range(4)},
        {"bomb": bytes(900)},
        {"a": b"x" * 90, "b": bytes(range(256)) * 4},
    ],
    ids=["many members", "high ratio", "many bytes"],
)
def test_archive_that_holds_too_much_is_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    with pytest.raises(ArchiveTooLarge):
        collect(tmp_path, archive(tmp_path / "night.zip", **members))
    scratch = tmp_path / "scratch" / "0"
    assert sum(path.stat().st_size for path in scratch.iterdir()) <= SMALL.bytes


def test_size_in_the_archive_is_not_believed(tmp_path: Path) -> None:
    """The headers say one byte; what comes out is counted, and the archive is refused."""
    path = archive(tmp_path / "night.zip", bomb=bytes(900))
    true, lie = (900).to_bytes(4, "little"), (1).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(true, lie))
    with pytest.raises(CannotGather):
        collect(tmp_path, path)


def test_encrypted_archive_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "night.zip", a=b"1")
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(EncryptedArchive):
        collect(tmp_path, path)


def test_every_truncation_of_an_archive_is_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path / "whole.zip", a=b"1" * 50).read_bytes()
    for size in range(len(whole)):
        path = tmp_path / "cut.zip"
        path.write_bytes(whole[:size])
        with pytest.raises(BrokenArchive):
            gather([path], scratch=tmp_path / f"scratch-{size}")


def test_damaged_member_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "night.zip", a=bytes(range(90)))
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BrokenArchive):
        collect(tmp_path, path)


def test_nothing_and_nowhere_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NoSuchPath):
        collect(tmp_path, tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToCheck):
        collect(tmp_path, tmp_path / "empty")
