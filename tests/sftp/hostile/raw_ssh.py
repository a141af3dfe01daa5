# SPDX-License-Identifier: Apache-2.0
"""An SSH client without manners.

Before the key exchange its packets are made by hand; after it asyncssh encrypts what nobody else
would send.

Shape:  an unencrypted packet is ``uint32 length, byte padding length, payload, padding``, a
        multiple of 8 bytes (RFC 4253, 6).
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

import asyncssh
import pytest

VERSION: Final = b"SSH-2.0-hostile"

MSG_IGNORE: Final = 2
MSG_UNIMPLEMENTED: Final = 3
MSG_DEBUG: Final = 4
MSG_USERAUTH_REQUEST: Final = 50
MSG_USERAUTH_FAILURE: Final = 51
MSG_USERAUTH_SUCCESS: Final = 52
MSG_USERAUTH_PK_OK: Final = 60
MSG_GLOBAL_REQUEST: Final = 80
MSG_CHANNEL_OPEN: Final = 90
MSG_CHANNEL_WINDOW_ADJUST: Final = 93
MSG_CHANNEL_DATA: Final = 94
MSG_CHANNEL_CLOSE: Final = 97
MSG_CHANNEL_REQUEST: Final = 98
#: ping@openssh.com
MSG_PING: Final = 192

_CHUNK_BYTES: Final = 256 * 1024
#: What waits on this client's side before it stops sending for a moment.
_MAX_WAITING_BYTES: Final = 1024 * 1024


def string(value: bytes) -> bytes:
    """Return a string as it is on the wire."""
    return struct.pack(">I", len(value)) + value


def u32(*values: int) -> bytes:
    """Return numbers as they are on the wire."""
    return struct.pack(f">{len(values)}I", *values)


def frame(payload: bytes) -> bytes:
    """Return a whole unencrypted packet."""
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


class RawSsh:
    """A TCP connection to the server, before any key exchange."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def connected(cls, port: int, *, address: str = "127.0.0.1") -> AsyncIterator[Self]:
        """Connect from an address of this machine, and say nothing."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    @classmethod
    @asynccontextmanager
    async def greeted(cls, port: int, *, address: str = "127.0.0.1") -> AsyncIterator[Self]:
        """Connect, tell the version, and take the server's."""
        async with cls.connected(port, address=address) as raw:
            await raw.send(VERSION + b"\r\n")
            assert (await raw._reader.readline()).startswith(b"SSH-2.0-")
            yield raw

    async def send(self, data: bytes) -> None:
        """Send bytes, and wait until the kernel has taken nearly all of them."""
        self._writer.write(data)
        await self._writer.drain()

    async def is_ended(self, *, seconds: float = 10) -> bool:
        """Read on; return whether the server ends the connection within that time."""
        try:
            async with asyncio.timeout(seconds):
                while await self._reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True


class _Hesitant(asyncssh.SSHClient):
    """Exchanges keys and then does not log in by itself."""

    def __init__(self) -> None:
        self.connection: asyncssh.SSHClientConnection | None = None
        self.has_keys = asyncio.Event()

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Hold the connection where a login would begin."""
        self.connection = conn
        conn.try_next_auth = self._hesitate  # type: ignore[method-assign]

    def _hesitate(self, **_: object) -> None:
        self.has_keys.set()


@asynccontextmanager
async def before_login(
    port: int, *, address: str = "127.0.0.1"
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Have a connection that is encrypted and not logged in."""
    client = _Hesitant()
    login = asyncio.ensure_future(
        asyncssh.connect(
            "127.0.0.1", port, username="nobody", client_keys=None, known_hosts=None, config=None,
            agent_path=None, local_addr=(address, 0), client_factory=lambda: client,
        )
    )  # fmt: skip
    try:
        await asyncio.wait_for(client.has_keys.wait(), 30)
        assert client.connection is not None
        yield client.connection
    finally:
        if client.connection is not None:
            client.connection.abort()
        login.cancel()
        await asyncio.gather(login, return_exceptions=True)


class LoginTalk:
    """Requests to log in on one connection, made by hand; see `before_login`.

    Takes the place of asyncssh's method of logging in, and hears the answers.
    """

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._connection = connection
        self._answers: asyncio.Queue[int] = asyncio.Queue()
        connection._auth = self  # type: ignore[assignment]

    def key_request(self, username: bytes, key: asyncssh.SSHKey, *, signed: bool) -> bytes:
        """Return a request to log in with a key, which may be only a question."""
        algorithm = key.algorithm
        return (
            string(username) + string(b"ssh-connection") + string(b"publickey")
            + (b"\1" if signed else b"\0") + string(algorithm) + string(key.public_data)
        )  # fmt: skip

    def sign(self, key: asyncssh.SSHKey, request: bytes) -> bytes:
        """Return a signature of a request, as it stands behind it."""
        session = self._connection._session_id
        signed = string(session) + bytes([MSG_USERAUTH_REQUEST]) + request
        return string(key.sign(signed, key.algorithm))

    async def ask(self, request: bytes) -> int:
        """Send a request and return the kind of the answer."""
        self._connection.send_packet(MSG_USERAUTH_REQUEST, request)
        return await self.hear()

    async def hear(self) -> int:
        """Return the kind of the next answer."""
        return await asyncio.wait_for(self._answers.get(), 10)

    # What asyncssh calls.

    def log_received_packet(self, *_: object) -> None:
        """Log nothing."""

    def process_packet(self, kind: int, _number: int, _packet: object) -> bool:
        """Hear that a key may be used."""
        self._answers.put_nowait(kind)
        return True

    def auth_failed(self) -> None:
        """Hear a refusal."""
        self._answers.put_nowait(MSG_USERAUTH_FAILURE)

    def auth_succeeded(self) -> None:
        """Hear that the login is over."""
        self._answers.put_nowait(MSG_USERAUTH_SUCCESS)

    def cancel(self) -> None:
        """Have nothing to cancel."""


def load(connection: asyncssh.SSHClientConnection, kind: int, *bodies: bytes) -> bytes:
    """Encrypt packets of one kind, to be fired all at once.

    An attacker's program is faster than ours; packets that are ready beforehand make up for it.
    They must be fired before anything else is sent, for each is encrypted under its number.
    """
    loaded = bytearray()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "_send", loaded.extend)
        # asyncssh would send an empty packet before each.
        patch.setattr(connection, "send_packet", lambda *_: None)
        for body in bodies:
            asyncssh.SSHClientConnection.send_packet(connection, kind, body)
    return bytes(loaded)


async def fire(connection: asyncssh.SSHClientConnection, loaded: bytes) -> None:
    """Send what was loaded as fast as the server takes it.

    Raises:  ConnectionError when the server has ended the connection.
    """
    for begin in range(0, len(loaded), _CHUNK_BYTES):
        transport = connection._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        transport.write(loaded[begin : begin + _CHUNK_BYTES])
        while transport.get_write_buffer_size() > _MAX_WAITING_BYTES:
            await asyncio.sleep(0.001)
            if transport.is_closing():
                raise ConnectionResetError
    await asyncio.sleep(0)


class _Devour(asyncio.Protocol):
    """Takes what comes, and does nothing with it."""


def discard_replies(connection: asyncssh.SSHClientConnection) -> None:
    """Read what the server sends, and do not even decrypt it."""
    transport = connection._transport
    assert transport is not None
    transport.set_protocol(_Devour())


def stop_reading(connection: asyncssh.SSHClientConnection) -> None:
    """Read nothing any more of what the server sends."""
    transport = connection._transport
    assert transport is not None
    transport.pause_reading()
