# SPDX-License-Identifier: Apache-2.0
"""Every client does the same deeds, and the bytes are compared on the server and on their way back.

What a client cannot do is in its driver, with the reason, and is skipped under its own name.
"""

import asyncio
import filecmp
import random
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from nightdrop.core.events import Event, EventKind
from sftp.harness import PATIENCE_SECONDS, ClientKey, Nightdrop, connect
from sftp.interop.client_steps import (
    Client,
    Deed,
    Get,
    GetTree,
    List,
    Listings,
    MakeDirectory,
    Put,
    PutTree,
    Remove,
    RemoveDirectory,
    Rename,
    Resume,
    Step,
    Visitor,
    make_visitor,
)
from sftp.interop.clients_foreign import NetSftpForeign, NodeSsh2, Phpseclib
from sftp.interop.clients_mounted import Sshfs
from sftp.interop.clients_of_urls import Curl, Rclone, RcloneAsItComes
from sftp.interop.clients_openssh import OpenSshScp, OpenSshSftp
from sftp.interop.clients_python import AsyncSsh, Libssh2, Paramiko
from sftp.interop.clients_scripted import Lftp, Psftp

CLIENTS: Sequence[Client] = (
    OpenSshSftp(), OpenSshScp(), Psftp(), Lftp(), Curl(), Rclone(), RcloneAsItComes(), Sshfs(),
    Paramiko(), AsyncSsh(), Libssh2(), NodeSsh2(), NetSftpForeign(), Phpseclib(),
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How much the two large deeds move, and how long a visit may take for it."""

    big_bytes: int
    files: int
    seconds: int


IN_EVERY_RUN = Scale(big_bytes=2_000_003, files=50, seconds=60)
IN_THE_SOAK = Scale(big_bytes=200_000_003, files=500, seconds=600)


@dataclass(frozen=True)
class Work:
    """One deed at work: its client, the client's account, and a directory on either side."""

    client: Client
    server: Nightdrop
    visitor: Visitor
    key: ClientKey
    local: Path
    scale: Scale

    def visit(self, *steps: Step) -> Listings:
        """Let the client carry out steps."""
        return self.client.visit(self.visitor, steps)

    def make(self, name: str, size_bytes: int) -> Path:
        """Make a file of the client's, of which no two blocks are the same."""
        path = self.local / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(random.Random(name).randbytes(size_bytes))
        return path

    def disk(self, *parts: str) -> Path:
        """Return where a path below /upload is on the server's disk."""
        return self.server.upload(self.visitor.username, *parts)

    def wait_for_seal(self, epoch: str) -> Event:
        """Wait until an epoch of this district is sealed."""
        district = self.server.accounts[self.visitor.username].district
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for event in self.server.of_kind(EventKind.SEALED):
                if event.district == district and event.facts["epoch"] == epoch:
                    return event
            time.sleep(0.01)
        kinds = [str(event.kind) for event in self.server.events if event.district == district]
        pytest.fail(f"{epoch} was not sealed; {kinds}")


def is_same(one: Path, other: Path) -> bool:
    """Whether two files have the same bytes; too many to be shown where they differ."""
    return filecmp.cmp(one, other, shallow=False)


def sizes_of(event: Event) -> dict[str, int]:
    """Return what a seal says of its files."""
    files = event.facts["files"]
    assert isinstance(files, list)
    named = [file for file in files if isinstance(file, dict)]
    return {str(file["name"]): int(str(file["size_bytes"])) for file in named}


def put_and_get(work: Work) -> None:
    source = work.make("students.csv", 300_001)
    empty = work.make("empty.csv", 0)
    back, empty_back = work.local / "back.csv", work.local / "empty-back.csv"
    work.visit(
        Put(source, "/upload/students.csv"),
        Put(empty, "/upload/empty.csv"),
        Get("/upload/students.csv", back),
        Get("/upload/empty.csv", empty_back),
    )
    assert is_same(work.disk("students.csv"), source)
    assert is_same(back, source)
    assert work.disk("empty.csv").read_bytes() == empty_back.read_bytes() == b""


def put_and_get_a_big_file(work: Work) -> None:
    source = work.make("big.csv", work.scale.big_bytes)
    back = work.local / "big-back.csv"
    work.visit(Put(source, "/upload/big.csv"), Get("/upload/big.csv", back))
    assert is_same(work.disk("big.csv"), source)
    assert is_same(back, source)


def put_and_get_many_files(work: Work) -> None:
    names = [f"{number:03d}.csv" for number in range(work.scale.files)]
    contents = {name: work.make(f"many/{name}", 1000 + at).read_bytes()
                for at, name in enumerate(names)}  # fmt: skip
    back = work.local / "many-back"
    work.visit(PutTree(work.local / "many", "/upload/many"), GetTree("/upload/many", back))
    assert {path.name: path.read_bytes() for path in work.disk("many").iterdir()} == contents
    assert {path.name: path.read_bytes() for path in back.iterdir()} == contents


def resume(work: Work) -> None:
    """The part is what a broken connection leaves behind; the whole file can be sealed."""
    epoch = "20261123-010000"
    source, marker = work.make("students.csv", 300_001), work.make("COMPLETE", 0)
    tear(work, f"/upload/{epoch}", source.read_bytes()[:100_000])
    assert work.disk(epoch, "students.csv").stat().st_size == 100_000
    work.visit(
        Resume(source, f"/upload/{epoch}/students.csv"), Put(marker, f"/upload/{epoch}/COMPLETE")
    )
    assert is_same(work.disk(epoch, "students.csv"), source)
    assert sizes_of(work.wait_for_seal(epoch)) == {"students.csv": 300_001}


def tear(work: Work, directory: str, part: bytes) -> None:
    """Break a connection in the middle of an upload, and wait until the server knows."""

    async def visit() -> None:
        async with connect(work.server, work.key, username=work.visitor.username) as connection:
            sftp = await connection.start_sftp_client()
            await sftp.mkdir(directory)
            half = await sftp.open(f"{directory}/students.csv", "wb")
            await half.write(part)
            connection.abort()

    torn = len(work.server.of_kind(EventKind.FILE_TORN))
    asyncio.run(visit())
    work.server.wait_for(EventKind.FILE_TORN, count=torn + 1)


def rename(work: Work) -> None:
    source = work.make("a.csv", 1000)
    work.visit(Put(source, "/upload/a.csv"), Rename("/upload/a.csv", "/upload/b.csv"))
    assert not work.disk("a.csv").exists()
    assert is_same(work.disk("b.csv"), source)


def list_names(work: Work) -> None:
    names = ["Ümläut.csv", "students.csv", "teachers.csv"]
    files = [Put(work.make(name, 10), f"/upload/list/{name}") for name in names]
    root, listed = work.visit(
        List("/"), MakeDirectory("/upload/list"), *files, List("/upload/list")
    )
    assert sorted(root) == ["download", "upload", "upload-processed"]
    assert sorted(listed) == sorted(names)


def make_and_remove_folders(work: Work) -> None:
    work.visit(MakeDirectory("/upload/kept"), MakeDirectory("/upload/gone"),
               RemoveDirectory("/upload/gone"))  # fmt: skip
    assert work.disk("kept").is_dir()
    assert not work.disk("gone").exists()


def remove(work: Work) -> None:
    source = work.make("students.csv", 1000)
    work.visit(Put(source, "/upload/kept.csv"), Put(source, "/upload/gone.csv"),
               Remove("/upload/gone.csv"))  # fmt: skip
    assert work.disk("kept.csv").exists()
    assert not work.disk("gone.csv").exists()


def seal_by_rename(work: Work) -> None:
    epoch = "20261123-020000"
    work.visit(
        MakeDirectory(f"/upload/{epoch}"),
        Put(work.make("students.csv", 5000), f"/upload/{epoch}/students.csv"),
        Put(work.make("COMPLETE", 0), f"/upload/{epoch}/COMPLETE.part"),
        Rename(f"/upload/{epoch}/COMPLETE.part", f"/upload/{epoch}/COMPLETE"),
    )
    event = work.wait_for_seal(epoch)
    assert event.facts["marker"] == "COMPLETE"
    assert sizes_of(event) == {"students.csv": 5000}


def seal_a_tree(work: Work) -> None:
    """The marker goes first, in the order of names, and the epoch is whole all the same."""
    epoch = "20261123-030000"
    for name, size_bytes in (("COMPLETE", 0), ("guardians.csv", 5000), ("students.csv", 70_000)):
        work.make(f"night/{name}", size_bytes)
    work.visit(PutTree(work.local / "night", f"/upload/{epoch}"))
    assert sizes_of(work.wait_for_seal(epoch)) == {"guardians.csv": 5000, "students.csv": 70_000}


DEEDS: Mapping[Deed, Callable[[Work], None]] = {
    Deed.PUT_GET: put_and_get,
    Deed.BIG_FILE: put_and_get_a_big_file,
    Deed.MANY_FILES: put_and_get_many_files,
    Deed.RESUME: resume,
    Deed.RENAME: rename,
    Deed.LIST: list_names,
    Deed.FOLDERS: make_and_remove_folders,
    Deed.REMOVE: remove,
    Deed.SEAL_BY_RENAME: seal_by_rename,
    Deed.SEAL_A_TREE: seal_a_tree,
}
#: Of which the soak has larger ones.
LARGE = (Deed.BIG_FILE, Deed.MANY_FILES)


def cell(client: Client, deed: Deed) -> ParameterSet:
    marks = [pytest.mark.needs_host] if client.needs_host else []
    if deed in client.cannot:
        marks.append(pytest.mark.skip(f"{client.name}: {client.cannot[deed]}"))
    return pytest.param(client, deed, id=f"{client.name}-{deed}", marks=marks)


def matrix(deeds: Iterable[Deed]) -> list[ParameterSet]:
    return [cell(client, deed) for client in CLIENTS for deed in deeds]


@pytest.fixture
def do(
    interop_server: Nightdrop, apple_key: ClientKey, tmp_path: Path
) -> Callable[[Client, Deed, Scale], None]:
    """Let a client do a deed in a district of their own."""

    def work(client: Client, deed: Deed, scale: Scale) -> None:
        client.require()
        username = f"{deed}.{client.name}.example.org"
        interop_server.add(username, apple_key)
        home, local = tmp_path / "home", tmp_path / "local"
        home.mkdir()
        local.mkdir()
        visitor = make_visitor(interop_server, apple_key, username, home)
        port = interop_server.legacy_port if client.is_old else interop_server.port
        visitor = replace(visitor, port=port, seconds=scale.seconds)
        DEEDS[deed](Work(client, interop_server, visitor, apple_key, local, scale))
        # What the soak moves would fill a disk; what is sealed may stay.
        shutil.rmtree(local)
        shutil.rmtree(interop_server.upload(username), ignore_errors=True)

    return work


@pytest.mark.parametrize(("client", "deed"), matrix(Deed))
def test_client_does(do: Callable[[Client, Deed, Scale], None], client: Client, deed: Deed) -> None:
    do(client, deed, IN_EVERY_RUN)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("client", "deed"), matrix(LARGE))
def test_client_does_much(
    do: Callable[[Client, Deed, Scale], None], client: Client, deed: Deed
) -> None:
    do(client, deed, IN_THE_SOAK)
