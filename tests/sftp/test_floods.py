# SPDX-License-Identifier: Apache-2.0
"""Clients that ask for too much get no more than their share of memory, handles and time."""

import asyncio
import resource
import struct
import time
from pathlib import Path

import asyncssh
import pytest

from nightdrop.core.events import EventKind
from nightdrop.sftp.packets import MAX_DATA_BYTES, MAX_PACKET_BYTES, Kind, OpenFlag, Status
from nightdrop.sftp.replies import MAX_HANDLES
from nightdrop.sftp.shares import MAX_REFUSALS
from sftp.harness import ClientKey, Nightdrop, connect
from sftp.raw import RawSftp, packet, status_of, string

READ_ALL = struct.pack(">QI", 0, 16 * 1024 * 1024)
MEBIBYTE = 1024 * 1024


def memory() -> int:
    """Return the bytes of memory that this process, and so the server, has in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.parametrize("window", [64 * 1024, 2**31 - 1])
def test_a_client_that_asks_and_never_reads_costs_little(
    server: Nightdrop, apple_key: ClientKey, window: int
) -> None:
    server.upload("applegrove.org", "big").write_bytes(bytes(16 * MEBIBYTE))

    async def flood(connection: asyncssh.SSHClientConnection) -> None:
        raw = await RawSftp.greeted(connection, window=window)
        handle = await raw.open_file(b"/upload/big", OpenFlag.READ)
        reads = [packet(Kind.READ, handle, READ_ALL) for _ in range(1000)]
        transport = connection._transport
        assert transport is not None
        transport.pause_reading()
        raw.send(*reads)

    async def work() -> None:
        async with connect(server, apple_key) as connection:
            before = memory()
            await flood(connection)
            async with (
                connect(server, apple_key) as other,
                other.start_sftp_client() as sftp,
            ):
                for _ in range(50):
                    await sftp.listdir("/upload")
            assert memory() - before < 24 * MEBIBYTE

    asyncio.run(work())


def test_a_client_that_stops_in_a_key_exchange_costs_little(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    server.upload("applegrove.org", "big").write_bytes(bytes(16 * MEBIBYTE))

    async def work() -> None:
        async with connect(server, apple_key) as connection:
            raw = await RawSftp.greeted(connection, window=2**31 - 1)
            handle = await raw.open_file(b"/upload/big", OpenFlag.READ)
            before = memory()
            reads = [packet(Kind.READ, handle, READ_ALL) for _ in range(500)]
            # The server answers our KEXINIT and then keeps everything back until we go on.
            raw.send(reads[0])
            connection._send_kexinit()
            connection._kex_complete = True
            connection._recv_handler = lambda: False
            raw.send(*reads[1:])
            async with (
                connect(server, apple_key) as other,
                other.start_sftp_client() as sftp,
            ):
                for _ in range(50):
                    await sftp.listdir("/upload")
            assert memory() - before < 24 * MEBIBYTE
            connection.abort()

    asyncio.run(work())


def test_a_read_is_clamped(server: Nightdrop, apple_key: ClientKey) -> None:
    server.upload("applegrove.org", "big").write_bytes(bytes(MEBIBYTE))

    async def work() -> None:
        async with connect(server, apple_key) as connection:
            raw = await RawSftp.greeted(connection)
            handle = await raw.open_file(b"/upload/big", OpenFlag.READ)
            reply = await raw.ask(Kind.READ, handle, READ_ALL)
            assert reply[0] == Kind.DATA
            assert len(reply) == 1 + 4 + 4 + MAX_DATA_BYTES

    asyncio.run(work())


def test_the_longest_write_is_taken_and_a_longer_packet_ends_the_session(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            raw = await RawSftp.greeted(connection)
            handle = await raw.open_file(b"/upload/a", OpenFlag.WRITE | OpenFlag.CREATE)
            reply = await raw.ask(Kind.WRITE, handle, bytes(8), string(bytes(MAX_DATA_BYTES)))
            assert status_of(reply)[0] == Status.OK
            raw.send_bytes(struct.pack(">I", MAX_PACKET_BYTES + 1))
            assert await raw.is_ended()
            async with connection.start_sftp_client() as sftp:
                assert await sftp.getsize("/upload/a") == MAX_DATA_BYTES

    asyncio.run(work())
    (event,) = server.wait_for(EventKind.REFUSED)
    assert event.facts["rule"] == "sftp-packet-refused"
    server.wait_for(EventKind.FILE_TORN)


@pytest.mark.parametrize(
    "data",
    [
        string(packet(Kind.STAT, string(b"/"))),
        string(packet(Kind.INIT, request_id=3)) * 2,
        string(b"\x11"),
        bytes(4),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_session_that_makes_no_sense_ends(
    server: Nightdrop, apple_key: ClientKey, data: bytes
) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            raw = await RawSftp.open(connection)
            raw.send_bytes(data)
            assert await raw.is_ended()

    asyncio.run(work())


def test_a_malformed_request_is_answered_and_the_session_goes_on(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            raw = await RawSftp.greeted(connection)
            assert status_of(await raw.ask(Kind.OPEN, b"\xff\xff"))[0] == Status.BAD_MESSAGE
            assert status_of(await raw.ask(99))[0] == Status.OP_UNSUPPORTED
            assert (await raw.ask(Kind.STAT, string(b"/")))[0] == Kind.ATTRS

    asyncio.run(work())


def test_handles_are_counted_and_returned(server: Nightdrop, apple_key: ClientKey) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            raw = await RawSftp.greeted(connection)
            handles = [
                await raw.open_file(b"/upload/%d" % number, OpenFlag.WRITE | OpenFlag.CREATE)
                for number in range(MAX_HANDLES - 1)
            ]
            directory = (await raw.ask(Kind.OPENDIR, string(b"/upload")))[5:]
            for kind, body in (
                (Kind.OPEN, string(b"/upload/0") + struct.pack(">II", 1, 0)),
                (Kind.OPENDIR, string(b"/")),
            ):
                code, sentence = status_of(await raw.ask(kind, body))
                assert code == Status.FAILURE
                assert "64 files open" in sentence
            for handle in (*handles, directory):
                assert status_of(await raw.ask(Kind.CLOSE, handle))[0] == Status.OK
            assert status_of(await raw.ask(Kind.CLOSE, directory))[0] == Status.FAILURE
            await raw.open_file(b"/upload/0", OpenFlag.READ)

    asyncio.run(work())


def test_handles_of_another_session_mean_nothing(server: Nightdrop, apple_key: ClientKey) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            one, other = await RawSftp.greeted(connection), await RawSftp.greeted(connection)
            handle = await one.open_file(b"/upload/a", OpenFlag.WRITE | OpenFlag.CREATE)
            await other.open_file(b"/upload/b", OpenFlag.WRITE | OpenFlag.CREATE)
            for kind, body in ((Kind.READ, READ_ALL), (Kind.FSTAT, b""), (Kind.CLOSE, b"")):
                assert status_of(await other.ask(kind, handle, body))[0] == Status.FAILURE

    asyncio.run(work())


def test_limits_are_told(server: Nightdrop, apple_key: ClientKey) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            raw = await RawSftp.greeted(connection)
            reply = await raw.ask(Kind.EXTENDED, string(b"limits@openssh.com"))
            assert struct.unpack_from(">QQQQ", reply, 5) == (262144, 261120, 261120, 64)
            for body in (string(b"home-directory") + string(b"x"),
                         string(b"expand-path@openssh.com") + string(b"~/")):  # fmt: skip
                assert string(b"/") in await raw.ask(Kind.EXTENDED, body)
            upload = string(b"expand-path@openssh.com") + string(b"~/upload")
            assert string(b"/upload") in await raw.ask(Kind.EXTENDED, upload)

    asyncio.run(work())


def test_refusals_do_not_fill_the_journal(server: Nightdrop, apple_key: ClientKey) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            raw = await RawSftp.greeted(connection)
            mkdir = packet(Kind.MKDIR, string(b"/download/x"), bytes(4))
            raw.send(*[mkdir] * (MAX_REFUSALS + 50))
            for _ in range(MAX_REFUSALS + 50):
                assert status_of(await raw.receive())[0] == Status.PERMISSION_DENIED

    asyncio.run(work())
    server.wait_for(EventKind.DISCONNECTED)
    assert len(server.of_kind(EventKind.REFUSED)) == MAX_REFUSALS


def test_proofs_of_host_keys_cannot_be_asked_for_without_end(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey
) -> None:
    keys = server.host_keys()

    async def work() -> None:
        async with (
            connect(server, apple_key) as connection,
            connect(server, birch_key, username="birchhill.org") as other,
            other.start_sftp_client() as sftp,
        ):
            ask = b"".join(string(key.public_data) for key in keys if b"rsa" in key.algorithm)
            for _ in range(40):
                connection._send_global_request(
                    b"hostkeys-prove-00@openssh.com", ask * 50, want_reply=False
                )
            started = time.monotonic()
            await sftp.listdir("/")
            assert time.monotonic() - started < 0.5

    asyncio.run(work())
