# SPDX-License-Identifier: Apache-2.0
"""What WinSCP sends, packet by packet; docs/guide/winscp-habits.md says where that is from.

WinSCP runs on Windows alone, and half of all districts use it. So its sessions are replayed
here: not one of its requests may be refused, and the epoch seals.
"""

import asyncio
import itertools
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest
from asyncssh.constants import MSG_IGNORE
from asyncssh.packet import String

from nightdrop.core.events import EventKind
from nightdrop.sftp.packets import AttributeFlag, Kind, OpenFlag, Status
from sftp.harness import EPOCH, ClientKey, MakeServer, Nightdrop, connect
from sftp.raw import RawSftp, packet, status_of, string

FOLDER = f"/upload/{EPOCH}"
#: Files from here on are sent under another name first.
RESUMABLE_BYTES = 100 * 1024
PART = ".filepart"
#: WinSCP fills a packet of the channel, of which its own heads take the rest.
BLOCK_BYTES = 32 * 1024 - 64
#: Requests to write that it has under way.
QUEUE = 32
MTIME = 1_764_000_000
SMALL = bytes(range(250)) * 20
LARGE = bytes(range(256)) * 1200


class WinScp:
    """One session of WinSCP."""

    def __init__(self, raw: RawSftp) -> None:
        self._raw = raw
        self._ids = itertools.count(4, 256)
        self.packet_bytes = 0

    def send(self, kind: int, *body: bytes) -> int:
        """Send a request without waiting; return its number."""
        number = next(self._ids)
        self._raw.send(packet(kind, *body, request_id=number))
        return number

    def send_end(self) -> None:
        """Tell that no more will come."""
        self._raw._writer.write_eof()

    async def answer(self, number: int) -> bytes:
        """Return the answer to a request; they come in order."""
        reply = await asyncio.wait_for(self._raw.receive(), 10)
        assert int.from_bytes(reply[1:5], "big") == number, reply
        return reply

    async def done(self, number: int) -> None:
        """Wait for a request to have been done."""
        code, sentence = status_of(await self.answer(number))
        assert code == Status.OK, sentence

    async def start(self, *, version: int = 3) -> None:
        """Greet, ask for the limits because they were offered, and where the session is."""
        self._raw.send(struct.pack(">BI", Kind.INIT, version))
        reply = await self._raw.receive()
        assert reply[:5] == struct.pack(">BI", Kind.VERSION, 3)
        assert string(b"limits@openssh.com") in reply
        limits = await self.answer(self.send(Kind.EXTENDED, string(b"limits@openssh.com")))
        assert limits[0] == Kind.EXTENDED_REPLY
        (self.packet_bytes,) = struct.unpack_from(">Q", limits, 5)
        assert await self.real_path(".") == "/"

    async def real_path(self, path: str) -> str:
        """Ask which path is meant."""
        reply = await self.answer(self.send(Kind.REALPATH, string(path.encode())))
        assert reply[0] == Kind.NAME, reply
        size = int.from_bytes(reply[9:13], "big")
        return reply[13 : 13 + size].decode()

    async def size_of(self, path: str) -> int | None:
        """Ask whether a file is there; its size, or None."""
        reply = await self.answer(self.send(Kind.LSTAT, string(path.encode())))
        if reply[0] == Kind.STATUS:
            assert status_of(reply)[0] == Status.NO_SUCH_FILE
            return None
        assert reply[0] == Kind.ATTRS
        return int(struct.unpack_from(">Q", reply, 9)[0])

    async def cd(self, path: str) -> None:
        """Change the directory, which is a question and no more."""
        assert await self.real_path(path) == path
        assert await self.size_of(path) is not None

    async def mkdir(self, path: str) -> None:
        """Make a directory; its path is asked for before it is there."""
        assert await self.real_path(path) == path
        await self.done(self.send(Kind.MKDIR, string(path.encode()), bytes(4)))

    async def ls(self, path: str) -> int:
        """List a directory; the next page is asked for before one is read. Return the names."""
        opened = await self.answer(self.send(Kind.OPENDIR, string(path.encode())))
        assert opened[0] == Kind.HANDLE
        names = 0
        number = self.send(Kind.READDIR, opened[5:])
        while (page := await self.answer(number))[0] == Kind.NAME:
            number = self.send(Kind.READDIR, opened[5:])
            names += int.from_bytes(page[5:9], "big")
        assert status_of(page)[0] == Status.EOF
        if not names:
            assert await self.size_of(f"{path}/..") is not None
        await self.done(self.send(Kind.CLOSE, opened[5:]))
        return names

    async def open_write(self, path: str, size_bytes: int, flags: OpenFlag) -> bytes:
        """Open for writing; the size that the file will have comes along."""
        reply = await self.answer(self.send_open(path, size_bytes, flags))
        assert reply[0] == Kind.HANDLE, status_of(reply)
        return reply[5:]

    def send_open(self, path: str, size_bytes: int, flags: OpenFlag) -> int:
        """Ask to open for writing."""
        attributes = struct.pack(">IQ", AttributeFlag.SIZE, size_bytes)
        flags |= OpenFlag.WRITE | OpenFlag.CREATE
        return self.send(Kind.OPEN, string(path.encode()), struct.pack(">I", flags), attributes)

    async def write(self, handle: bytes, content: bytes, *, begun: int = 0) -> None:
        """Write with many requests under way."""
        under_way: list[int] = []
        for at in range(begun, len(content), BLOCK_BYTES):
            block = content[at : at + BLOCK_BYTES]
            under_way.append(self.send(Kind.WRITE, handle, struct.pack(">Q", at), string(block)))
            if len(under_way) == QUEUE:
                await self.done(under_way.pop(0))
        for number in under_way:
            await self.done(number)

    def send_properties(self, path: str, *, mtime: int, rights: int | None = None) -> int:
        """Set the time, and the rights if they are to be kept, by the file's path."""
        flags, fields = AttributeFlag.TIMES, struct.pack(">II", mtime, mtime)
        if rights is not None:
            flags |= AttributeFlag.PERMISSIONS
            fields = struct.pack(">I", rights) + fields
        return self.send(Kind.SETSTAT, string(path.encode()), struct.pack(">I", flags), fields)

    async def put(self, path: str, content: bytes, *, mtime: int | None = MTIME) -> None:
        """Upload as `put` does; without `mtime` as with -nopreservetime."""
        if len(content) >= RESUMABLE_BYTES:
            await self.put_resumably(path, content, mtime=mtime)
            return
        handle = await self.open_write(path, len(content), OpenFlag.TRUNCATE)
        await self.write(handle, content)
        # The time is set before it is known whether the file could be closed.
        numbers = [self.send(Kind.CLOSE, handle)]
        if mtime is not None:
            numbers.append(self.send_properties(path, mtime=mtime))
        for number in numbers:
            await self.done(number)

    async def put_resumably(self, path: str, content: bytes, *, mtime: int | None = MTIME) -> None:
        """Upload under another name, going on where an earlier try ended."""
        is_there = await self.size_of(path) is not None
        part = path + PART
        begun = await self.size_of(part)
        flags = OpenFlag.TRUNCATE if begun is None else OpenFlag(0)
        handle = await self.open_write(part, len(content), flags)
        await self.write(handle, content, begun=begun or 0)
        await self.done(self.send(Kind.CLOSE, handle))
        if is_there:
            await self.done(self.send(Kind.REMOVE, string(path.encode())))
        await self.done(self.send(Kind.RENAME, string(part.encode()), string(path.encode())))
        if mtime is not None:
            rights = 0o644 if is_there else None
            await self.done(self.send_properties(path, mtime=mtime, rights=rights))


Night = Callable[[WinScp, asyncssh.SSHClientConnection], Awaitable[None]]


def visit(server: Nightdrop, key: ClientKey, night: Night, *, version: int = 3) -> None:
    """Let WinSCP work, and leave as it does now: the end is told, and waited for."""

    async def work() -> None:
        async with connect(server, key) as connection:
            raw = await RawSftp.open(connection)
            winscp = WinScp(raw)
            await winscp.start(version=version)
            await night(winscp, connection)
            winscp.send_end()
            assert await raw.is_ended()

    asyncio.run(work())


@pytest.fixture
def server(make_server: MakeServer, apple_key: ClientKey) -> Nightdrop:
    """Run a server on which only the end of a session seals."""
    server = make_server(seal_quiet_seconds=3600)
    server.add("applegrove.org", apple_key)
    return server


def on_disk(server: Nightdrop, *parts: str) -> Path:
    return server.upload("applegrove.org", EPOCH, *parts)


@pytest.mark.parametrize("version", [3, 6], ids=["asks-for-3", "asks-for-6"])
@pytest.mark.parametrize("mtime", [MTIME, None], ids=["preservetime", "nopreservetime"])
def test_a_nightly_script(
    server: Nightdrop, apple_key: ClientKey, mtime: int | None, version: int
) -> None:
    """`cd /upload`, `mkdir`, `cd`, `put *.csv`, `put COMPLETE`, `exit`."""

    async def night(winscp: WinScp, _: asyncssh.SSHClientConnection) -> None:
        await winscp.cd("/upload")
        await winscp.mkdir(FOLDER)
        await winscp.cd(FOLDER)
        await winscp.put(f"{FOLDER}/guardians.csv", SMALL, mtime=mtime)
        await winscp.put(f"{FOLDER}/students.csv", LARGE, mtime=mtime)
        await winscp.put(f"{FOLDER}/COMPLETE", b"", mtime=mtime)

    visit(server, apple_key, night, version=version)
    (event,) = server.wait_for(EventKind.SEALED)
    assert event.facts["session_open"] is False
    assert on_disk(server, "guardians.csv").read_bytes() == SMALL
    assert on_disk(server, "students.csv").read_bytes() == LARGE
    assert {path.name for path in on_disk(server).iterdir()} == {
        "COMPLETE", "guardians.csv", "students.csv",
    }  # fmt: skip
    times = {int(path.stat().st_mtime) for path in on_disk(server).iterdir()}
    assert (times == {MTIME}) == (mtime is not None)
    assert server.of_kind(EventKind.REFUSED) == []


def test_a_night_in_the_window(server: Nightdrop, apple_key: ClientKey) -> None:
    """Directories are listed before and after each upload, and keep-alives come in between."""

    async def night(winscp: WinScp, connection: asyncssh.SSHClientConnection) -> None:
        assert await winscp.ls("/") == 3
        await winscp.cd("/upload")
        assert await winscp.ls("/upload") == 0
        await winscp.mkdir(FOLDER)
        assert await winscp.ls(FOLDER) == 0
        for count, name in enumerate(("guardians.csv", "students.csv", "COMPLETE"), 1):
            await winscp.put(f"{FOLDER}/{name}", LARGE if name == "students.csv" else b"x")
            assert await winscp.ls(FOLDER) == count
            # Keep-alives: an SSH packet that says nothing, or a question about "/".
            connection.send_packet(MSG_IGNORE, String(b""))
            assert await winscp.real_path("/") == "/"

    visit(server, apple_key, night)
    server.wait_for(EventKind.SEALED)
    assert on_disk(server, "students.csv").read_bytes() == LARGE


def test_resumesupport_on_marks_by_rename(server: Nightdrop, apple_key: ClientKey) -> None:
    """With -resumesupport=on even an empty COMPLETE goes under another name first."""

    async def night(winscp: WinScp, _: asyncssh.SSHClientConnection) -> None:
        await winscp.mkdir(FOLDER)
        await winscp.put_resumably(f"{FOLDER}/students.csv", SMALL)
        await winscp.put_resumably(f"{FOLDER}/COMPLETE", b"")

    visit(server, apple_key, night)
    (event,) = server.wait_for(EventKind.SEALED)
    assert event.facts["marker"] == "COMPLETE"
    assert on_disk(server, "students.csv").read_bytes() == SMALL


def test_a_larger_file_replaces_one_by_removing_it(server: Nightdrop, apple_key: ClientKey) -> None:
    async def night(winscp: WinScp, _: asyncssh.SSHClientConnection) -> None:
        await winscp.mkdir(FOLDER)
        await winscp.put(f"{FOLDER}/students.csv", SMALL)
        await winscp.put(f"{FOLDER}/students.csv", LARGE)

    visit(server, apple_key, night)
    assert on_disk(server, "students.csv").read_bytes() == LARGE
    assert not on_disk(server, f"students.csv{PART}").exists()
    assert int(on_disk(server, "students.csv").stat().st_mtime) == MTIME


def test_a_small_file_is_replaced_after_a_question(server: Nightdrop, apple_key: ClientKey) -> None:
    """With confirmations on, the first try to open says that the file must not be there."""

    async def night(winscp: WinScp, _: asyncssh.SSHClientConnection) -> None:
        await winscp.put("/upload/a.csv", b"first")
        refused = await winscp.answer(
            winscp.send_open("/upload/a.csv", 6, OpenFlag.TRUNCATE | OpenFlag.EXCLUSIVE)
        )
        assert status_of(refused)[0] == Status.FAILURE
        assert await winscp.size_of("/upload/a.csv") == len(b"first")
        await winscp.put("/upload/a.csv", b"second")

    visit(server, apple_key, night)
    assert server.upload("applegrove.org", "a.csv").read_bytes() == b"second"


def test_a_broken_connection_and_the_next_session_goes_on(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    begun = 4 * BLOCK_BYTES

    async def broken() -> None:
        async with connect(server, apple_key) as connection:
            winscp = WinScp(await RawSftp.open(connection))
            await winscp.start()
            await winscp.mkdir(FOLDER)
            handle = await winscp.open_write(
                f"{FOLDER}/students.csv{PART}", len(LARGE), OpenFlag.TRUNCATE
            )
            await winscp.write(handle, LARGE[:begun])
            connection.abort()

    asyncio.run(broken())
    server.wait_for(EventKind.FILE_TORN)
    assert on_disk(server, f"students.csv{PART}").stat().st_size == begun

    async def night(winscp: WinScp, _: asyncssh.SSHClientConnection) -> None:
        await winscp.cd(FOLDER)
        await winscp.put(f"{FOLDER}/students.csv", LARGE)
        await winscp.put(f"{FOLDER}/COMPLETE", b"")

    visit(server, apple_key, night)
    server.wait_for(EventKind.SEALED)
    assert on_disk(server, "students.csv").read_bytes() == LARGE
    assert not on_disk(server, f"students.csv{PART}").exists()


def test_times_and_rights_on_a_sealed_epoch_are_answered_well(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    """They come after the last CLOSE; a quiet time can seal before them."""
    server = make_server(seal_quiet_seconds=0.05)
    server.add("applegrove.org", apple_key)

    async def night(winscp: WinScp, _: asyncssh.SSHClientConnection) -> None:
        await winscp.mkdir(FOLDER)
        await winscp.put(f"{FOLDER}/students.csv", LARGE, mtime=None)
        await winscp.put(f"{FOLDER}/COMPLETE", b"", mtime=None)
        await asyncio.to_thread(server.wait_for, EventKind.SEALED)
        for name in ("students.csv", "COMPLETE"):
            path = f"{FOLDER}/{name}"
            await winscp.done(winscp.send_properties(path, mtime=MTIME))
            await winscp.done(winscp.send_properties(path, mtime=MTIME, rights=0o644))
        assert await winscp.ls(FOLDER) == 2

    visit(server, apple_key, night)
    assert on_disk(server, "students.csv").stat().st_mode & 0o777 == 0o440
    assert server.of_kind(EventKind.CAME_AFTER_SEAL) == []


def test_packets_may_be_as_long_as_the_limits_say(server: Nightdrop, apple_key: ClientKey) -> None:
    """WinSCP fills packets, and does not ask how much of one a WRITE may carry."""

    async def night(winscp: WinScp, _: asyncssh.SSHClientConnection) -> None:
        handle = await winscp.open_write("/upload/a.csv", 0, OpenFlag.TRUNCATE)
        head = struct.pack(">BI", Kind.WRITE, 0) + handle + bytes(8) + bytes(4)
        content = b"w" * (winscp.packet_bytes - len(head))
        await winscp.done(winscp.send(Kind.WRITE, handle, bytes(8), string(content)))
        await winscp.done(winscp.send(Kind.CLOSE, handle))
        assert await winscp.size_of("/upload/a.csv") == len(content)

    visit(server, apple_key, night)


def test_older_versions_tell_the_end_and_are_gone(server: Nightdrop, apple_key: ClientKey) -> None:
    """They send the end of the channel, and drop the connection without waiting for ours."""

    async def work() -> None:
        async with connect(server, apple_key) as connection:
            raw = await RawSftp.open(connection)
            winscp = WinScp(raw)
            await winscp.start()
            await winscp.mkdir(FOLDER)
            await winscp.put(f"{FOLDER}/students.csv", SMALL)
            await winscp.put(f"{FOLDER}/COMPLETE", b"")
            winscp.send_end()
            connection.abort()

    asyncio.run(work())
    (event,) = server.wait_for(EventKind.SEALED)
    assert event.facts["session_open"] is False
