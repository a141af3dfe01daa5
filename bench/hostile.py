# SPDX-License-Identifier: Apache-2.0
"""Clients of one district that do what no client should, and a disk of its that hangs.

Run: python -m bench.hostile    reads an `Attack` as one line of JSON, prints a line when it
                                begins, and ends when its input does
"""

import asyncio
import contextlib
import fcntl
import json
import os
import struct
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import asyncssh

from nightdrop.sftp.packets import VERSION, Kind, OpenFlag
from nightdrop.storage.place import WRITERS

#: Sessions of the one district; it may have 32. Enough for some with every SFTP process.
SESSIONS: Final = 16
STRANGERS: Final = 200
HANDLES: Final = 10_000
#: A file that takes long to read.
BIG_FILE: Final = "big"
BIG_FILE_BYTES: Final = 16 * 1024 * 1024
_READS: Final = 1000
#: An answer that was sent has arrived after this.
_ANSWER_SECONDS: Final = 0.02
_WINDOW: Final = 2**31 - 1


class Deed(StrEnum):
    """What goes on."""

    NOTHING = "nothing"
    #: The files of the district cannot be opened for writing, while all its sessions try to.
    HANGING_DISK = "hanging-disk"
    #: Each session asks for a gibibyte and more, and reads none of it.
    NEVER_READS = "never-reads"
    #: Connections that say hello and nothing else.
    NEVER_LOGS_IN = "never-logs-in"
    #: Each session opens files and closes none.
    MANY_HANDLES = "many-handles"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """Who does what to the server at `port`; `directory` is the district's on the disk."""

    deed: str
    port: int
    username: str
    key: str
    directory: str


def pack(kind: Kind, string: bytes, *, tail: bytes = b"") -> bytes:
    """Return a request of SFTP that begins with a string."""
    body = struct.pack(">I", len(string)) + string + tail
    return struct.pack(">IBI", 5 + len(body), kind, 1) + body


@dataclass(frozen=True, slots=True)
class Session:
    """An SFTP session whose packets are made by hand."""

    connection: asyncssh.SSHClientConnection
    writer: "asyncssh.SSHWriter[bytes]"
    reader: "asyncssh.SSHReader[bytes]"

    async def receive(self) -> bytes:
        """Return the next packet without its length."""
        (size,) = struct.unpack(">I", await self.reader.readexactly(4))
        return await self.reader.readexactly(size)

    async def check_unanswered(self) -> None:
        """See that the last request waits still. Raises RuntimeError."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.receive(), _ANSWER_SECONDS)
            raise RuntimeError("the disk does not hang")

    def stop_reading(self) -> None:
        """Take nothing from the network any more."""
        transport = self.connection._transport  # noqa: SLF001 - asyncssh itself always reads
        if transport is None:
            raise ConnectionError("the session is gone")
        transport.pause_reading()


@asynccontextmanager
async def sessions(attack: Attack) -> AsyncIterator[list[Session]]:
    """Open all sessions of the district, and cut them off at the end."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(SESSIONS):
            connection = await asyncssh.connect(
                "127.0.0.1",
                attack.port,
                username=attack.username,
                client_keys=[asyncssh.import_private_key(attack.key)],
                known_hosts=None,
                config=None,
                agent_path=None,
            )
            stack.callback(connection.abort)
            writer, reader, _ = await connection.open_session(
                subsystem="sftp", encoding=None, window=_WINDOW
            )
            session = Session(connection, writer, reader)
            writer.write(struct.pack(">IBI", 5, Kind.INIT, VERSION))
            await session.receive()
            opened.append(session)
        yield opened


@asynccontextmanager
async def hanging_disk(attack: Attack) -> AsyncIterator[None]:
    """Keep the lock that everybody takes who opens or closes a file for writing."""
    async with sessions(attack) as opened:
        # A file was sent before, so that the lock is there and its owner is the server.
        descriptor = os.open(f"{attack.directory}/{WRITERS}", os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        flags = struct.pack(">II", OpenFlag.WRITE | OpenFlag.CREATE, 0)
        for number, session in enumerate(opened):
            session.writer.write(pack(Kind.OPEN, f"/upload/{number}".encode(), tail=flags))
        yield
        for session in opened:
            await session.check_unanswered()
        os.close(descriptor)


@asynccontextmanager
async def never_reads(attack: Attack) -> AsyncIterator[None]:
    """Ask for a file again and again, and take nothing of it from the network."""
    async with sessions(attack) as opened:
        for session in opened:
            flags = struct.pack(">II", OpenFlag.READ, 0)
            session.writer.write(pack(Kind.OPEN, f"/upload/{BIG_FILE}".encode(), tail=flags))
            # The kind, the request's number and the length come before the handle itself.
            handle = (await session.receive())[9:]
            session.stop_reading()
            wanted = struct.pack(">QI", 0, BIG_FILE_BYTES)
            session.writer.write(pack(Kind.READ, handle, tail=wanted) * _READS)
        yield


@asynccontextmanager
async def never_logs_in(attack: Attack) -> AsyncIterator[None]:
    """Connect from many addresses, say hello, and wait."""
    async with AsyncExitStack() as stack:
        for number in range(STRANGERS):
            source = f"127.9.0.{number + 1}"
            _, writer = await asyncio.open_connection(
                "127.0.0.1", attack.port, local_addr=(source, 0)
            )
            stack.callback(writer.close)
            writer.write(b"SSH-2.0-Slow\r\n")
        yield


@asynccontextmanager
async def many_handles(attack: Attack) -> AsyncIterator[None]:
    """Open ten thousand handles in each session."""
    async with sessions(attack) as opened:
        for session in opened:
            session.writer.write(pack(Kind.OPENDIR, b"/upload") * HANDLES)
        yield


@asynccontextmanager
async def nothing(_attack: Attack) -> AsyncIterator[None]:
    """Do nothing."""
    yield


ATTACKS: Final[Mapping[Deed, Callable[[Attack], AbstractAsyncContextManager[None]]]] = {
    Deed.NOTHING: nothing,
    Deed.HANGING_DISK: hanging_disk,
    Deed.NEVER_READS: never_reads,
    Deed.NEVER_LOGS_IN: never_logs_in,
    Deed.MANY_HANDLES: many_handles,
}


async def run(attack: Attack) -> None:
    """Attack until standard input ends."""
    async with ATTACKS[Deed(attack.deed)](attack):
        print("begun", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(run(Attack(**json.loads(sys.stdin.readline()))))
