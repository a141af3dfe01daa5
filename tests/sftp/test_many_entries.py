# SPDX-License-Identifier: Apache-2.0
"""Directories of very many files: they are paged, and hold up nobody else."""

import asyncio
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh
import pytest

from nightdrop.core.events import EventKind
from nightdrop.sftp.packets import Kind, Status
from sftp.harness import EPOCH, ClientKey, MakeServer, Nightdrop, connect, touch
from sftp.raw import RawSftp, status_of, string

FOLDER = f"/upload/{EPOCH}"
#: Another district's `ls` stays below it, whatever goes on.
LS_SECONDS = 0.1


def make_many(directory: Path, count: int) -> None:
    """Make an epoch of empty files that have arrived whole, on the disk itself."""
    directory.mkdir(mode=0o750)
    for number in range(count):
        (directory / f"{number:06d}.csv").touch(mode=0o640)
    directory.chmod(0o750)


async def read_pages(raw: RawSftp, path: str) -> AsyncIterator[int]:
    """Go through a directory, and tell how many names each page has."""
    reply = await raw.ask(Kind.OPENDIR, string(path.encode()))
    assert reply[0] == Kind.HANDLE
    while (page := await raw.ask(Kind.READDIR, reply[5:]))[0] == Kind.NAME:
        (count,) = struct.unpack_from(">I", page, 5)
        yield count
    assert status_of(page)[0] == Status.EOF


async def time_lists(sftp: asyncssh.SFTPClient, enough: asyncio.Event) -> list[float]:
    """List a small directory again and again; return how long each took, shortest first."""
    times: list[float] = []
    while not enough.is_set():
        begun = time.perf_counter()
        await sftp.listdir("/upload")
        times.append(time.perf_counter() - begun)
    return sorted(times)


async def use_epoch(server: Nightdrop, key: ClientKey, *, count: int) -> None:
    """List an epoch, rename it there and back, and seal it."""
    async with connect(server, key) as connection:
        raw = await RawSftp.greeted(connection)
        sizes = [size async for size in read_pages(raw, FOLDER)]
        assert sum(sizes) == count
        assert max(sizes) == 100
        async with connection.start_sftp_client() as sftp:
            await sftp.rename(FOLDER, "/upload/elsewhere")
            await sftp.rename("/upload/elsewhere", FOLDER)
            await touch(sftp, f"{FOLDER}/COMPLETE")
    await asyncio.to_thread(server.wait_for, EventKind.SEALED)


async def use_while_another_lists(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey, *, count: int
) -> list[float]:
    enough = asyncio.Event()
    async with (
        connect(server, birch_key, username="birchhill.org") as connection,
        connection.start_sftp_client() as birch,
    ):
        times = asyncio.create_task(time_lists(birch, enough))
        try:
            await use_epoch(server, apple_key, count=count)
        finally:
            enough.set()
        return await times


@pytest.fixture
def server_in_memory(
    make_server: MakeServer, apple_key: ClientKey, birch_key: ClientKey
) -> Iterator[Nightdrop]:
    """A server whose disk is as fast as can be: what is measured is the server."""
    memory = Path("/dev/shm")  # noqa: S108 - not for the content of this file
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        server = make_server(tree=Path(directory) / "districts")
        server.add("applegrove.org", apple_key)
        server.add("birchhill.org", birch_key)
        yield server
        server.stop()


def test_an_epoch_of_3000_files(
    server_in_memory: Nightdrop, apple_key: ClientKey, birch_key: ClientKey
) -> None:
    server = server_in_memory
    make_many(server.upload("applegrove.org", EPOCH), 3000)
    work = use_while_another_lists(server, apple_key, birch_key, count=3000)
    assert len(asyncio.run(work)) > 10
    (sealed,) = server.of_kind(EventKind.SEALED)
    assert isinstance(sealed.facts["files"], list)
    assert len(sealed.facts["files"]) == 3000


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_an_epoch_of_100000_files_holds_up_nobody(
    server_in_memory: Nightdrop,
    apple_key: ClientKey,
    birch_key: ClientKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = server_in_memory
    monkeypatch.setattr("sftp.harness.PATIENCE_SECONDS", 120.0)
    make_many(server.upload("applegrove.org", EPOCH), 100_000)
    work = use_while_another_lists(server, apple_key, birch_key, count=100_000)
    times = asyncio.run(work)
    assert times[len(times) * 95 // 100] < LS_SECONDS, times[-20:]
