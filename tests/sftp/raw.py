# SPDX-License-Identifier: Apache-2.0
"""An SFTP client without manners: sends what it is told, reads only when it is told."""

import asyncio
import struct
from typing import Self

import asyncssh

from nightdrop.sftp.packets import Kind


def string(value: bytes) -> bytes:
    """Return a string as it is on the wire."""
    return struct.pack(">I", len(value)) + value


def packet(kind: int, *body: bytes, request_id: int = 7) -> bytes:
    """Return a packet without its length."""
    return struct.pack(">BI", kind, request_id) + b"".join(body)


class RawSftp:
    """Packets over a channel."""

    def __init__(
        self, writer: "asyncssh.SSHWriter[bytes]", reader: "asyncssh.SSHReader[bytes]"
    ) -> None:
        self._writer = writer
        self._reader = reader

    @classmethod
    async def open(cls, connection: asyncssh.SSHClientConnection, *, window: int = 2**21) -> Self:
        """Open a session, without a greeting."""
        writer, reader, _ = await connection.open_session(
            subsystem="sftp", encoding=None, window=window
        )
        return cls(writer, reader)

    @classmethod
    async def greeted(
        cls, connection: asyncssh.SSHClientConnection, *, window: int = 2**21
    ) -> Self:
        """Open a session and greet."""
        raw = await cls.open(connection, window=window)
        raw.send(packet(Kind.INIT, request_id=3))
        assert (await raw.receive())[0] == Kind.VERSION
        return raw

    def send(self, *packets: bytes) -> None:
        """Send packets, each with its length."""
        self.send_bytes(b"".join(string(each) for each in packets))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until what was sent has left."""
        await self._writer.drain()

    def close(self) -> None:
        """Close the channel after what was sent."""
        self._writer.close()

    async def receive(self) -> bytes:
        """Return the next packet without its length."""
        (size,) = struct.unpack(">I", await self._reader.readexactly(4))
        return await self._reader.readexactly(size)

    async def ask(self, kind: int, *body: bytes) -> bytes:
        """Send one request and return its reply."""
        self.send(packet(kind, *body))
        return await asyncio.wait_for(self.receive(), 10)

    async def open_file(self, path: bytes, flags: int) -> bytes:
        """Open a file and return its handle, as a string on the wire."""
        reply = await self.ask(Kind.OPEN, string(path), struct.pack(">II", flags, 0))
        assert reply[0] == Kind.HANDLE, reply
        return reply[5:]

    async def is_ended(self) -> bool:
        """Wait for the end of the channel; return whether it came."""
        return await asyncio.wait_for(self._reader.read(), 10) is not None


def status_of(reply: bytes) -> tuple[int, str]:
    """Return the code and the sentence of a STATUS reply."""
    assert reply[0] == Kind.STATUS, reply
    code, size = struct.unpack_from(">II", reply, 5)
    return code, reply[13 : 13 + size].decode()
