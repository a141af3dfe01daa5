# SPDX-License-Identifier: Apache-2.0
"""What tests of the file tree do again and again, said shortly."""

import stat
from uuid import UUID, uuid4

from nightdrop.core.paths import ServedPath, read_path
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.seal import SealedBy, SealRecord, SealWait, SealWaits, try_seal
from nightdrop.storage.writing import Closed, WriteHandle

EPOCH = "20260928-021400"
OTHER_EPOCH = "20260929-021400"
STUDENTS = b"Student Id,Last Name\r\n1,Ames\r\n"
BY_SFTP = SealedBy(source="sftp", session=UUID(int=7), fingerprint="SHA256:x", session_open=True)


def at(text: str) -> ServedPath:
    return read_path(text.encode())


def begin(
    tree: DistrictTree,
    text: str,
    *,
    create: bool = True,
    exclusive: bool = False,
    truncate: bool = False,
    append: bool = False,
    readable: bool = False,
) -> WriteHandle:
    return tree.open_write(
        at(text),
        create=create,
        exclusive=exclusive,
        truncate=truncate,
        append=append,
        readable=readable,
    )


def send(tree: DistrictTree, text: str, content: bytes = b"") -> Closed:
    """Send a whole file."""
    handle = begin(tree, text, truncate=True)
    handle.write(0, content)
    return handle.close()


def make_epoch(tree: DistrictTree, epoch: str = EPOCH) -> None:
    """Send what a district sends at night."""
    tree.make_directory(at(f"/upload/{epoch}"))
    send(tree, f"/upload/{epoch}/students.csv", STUDENTS)
    send(tree, f"/upload/{epoch}/COMPLETE")


def attempt_seal(
    tree: DistrictTree, epoch: str = EPOCH, *, quiet_seconds: float = 0
) -> SealRecord | SealWaits:
    return try_seal(tree, epoch, seal_id=uuid4(), quiet_seconds=quiet_seconds, sealed_by=BY_SFTP)


def seal(tree: DistrictTree, epoch: str = EPOCH) -> SealRecord:
    outcome = attempt_seal(tree, epoch)
    assert isinstance(outcome, SealRecord), outcome
    return outcome


def why_not(tree: DistrictTree, epoch: str = EPOCH) -> SealWait:
    outcome = attempt_seal(tree, epoch)
    assert isinstance(outcome, SealWaits), outcome
    return outcome.reason


def fetch(tree: DistrictTree, text: str) -> bytes:
    handle = tree.open_read(at(text))
    try:
        return handle.read(0, 1 << 20)
    finally:
        handle.close()


def names(tree: DistrictTree, text: str) -> set[str]:
    return {entry.name for entry in tree.list(at(text))}


def mode(tree: DistrictTree, text: str) -> int:
    """Return a file's permission bits on disk."""
    path = tree.place.path.joinpath(*at(text).parts)
    return stat.S_IMODE(path.lstat().st_mode)


def lock_names(tree: DistrictTree) -> set[str]:
    return {path.name for path in (tree.place.path / "locks").iterdir()}
