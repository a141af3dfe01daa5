# SPDX-License-Identifier: Apache-2.0
"""Packets that ask for nothing, without end; and packets of a length that none can have."""

import asyncio
import struct
from collections.abc import Awaitable
from contextlib import AsyncExitStack

import asyncssh
import pytest

from sftp.harness import ClientKey, Nightdrop, connect
from sftp.hostile.conftest import Withstand
from sftp.hostile.raw_ssh import (
    MSG_CHANNEL_OPEN,
    MSG_DEBUG,
    MSG_GLOBAL_REQUEST,
    MSG_IGNORE,
    MSG_PING,
    MSG_UNIMPLEMENTED,
    MSG_USERAUTH_FAILURE,
    MSG_USERAUTH_REQUEST,
    LoginTalk,
    RawSsh,
    before_login,
    discard_replies,
    fire,
    frame,
    load,
    stop_reading,
    string,
    u32,
)
from sftp.hostile.siege import Siege

#: Each costs its sender nothing to make. The last three ask for an answer each.
NOISE = {
    "ignore": (MSG_IGNORE, string(b"")),
    "debug": (MSG_DEBUG, b"\0" + string(b"") * 2),
    "unimplemented": (MSG_UNIMPLEMENTED, u32(0)),
    "ping": (MSG_PING, string(b"x" * 16)),
    "global request": (MSG_GLOBAL_REQUEST, string(b"x") + b"\1"),
    "channel of no kind": (MSG_CHANNEL_OPEN, string(b"x") + u32(0, 65536, 65536)),
}
ANSWERED = ("ping", "global request", "channel of no kind")
#: What may be sent before a login; the rest ends the connection at once.
EARLY_NOISE = ("ignore", "debug", "unimplemented")
#: A flood's first part arrives whole before anybody could have noticed that it is one.
LOADED = 5000


async def make_noise(connection: asyncssh.SSHClientConnection, kind: str) -> None:
    number, body = NOISE[kind]
    while True:
        await fire(connection, load(connection, number, *[body] * LOADED))


async def all_at_once(*attackers: Awaitable[None]) -> None:
    """Let all attack until each is thrown out."""
    await asyncio.gather(*attackers, return_exceptions=True)


async def make_noise_as(siege: Siege, kind: str, *, reads: bool) -> None:
    async with siege.connected() as connection:
        (discard_replies if reads else stop_reading)(connection)
        await make_noise(connection, kind)


def test_noise_after_a_login(siege: Siege, withstand: Withstand) -> None:
    async def attack() -> None:
        await all_at_once(*(make_noise_as(siege, kind, reads=True) for kind in NOISE))

    assert withstand(siege, attack, seconds=3, growth_mib=24).is_bearable


def test_noise_whose_answers_nobody_reads(siege: Siege, withstand: Withstand) -> None:
    async def attack() -> None:
        await all_at_once(*(make_noise_as(siege, kind, reads=False) for kind in ANSWERED))

    assert withstand(siege, attack, seconds=3, growth_mib=16).is_bearable


@pytest.mark.soak
@pytest.mark.parametrize("reads", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize("kind", NOISE)
def test_one_kind_of_noise_for_long(
    siege: Siege, withstand: Withstand, kind: str, *, reads: bool
) -> None:
    async def attack() -> None:
        await make_noise_as(siege, kind, reads=reads)

    assert withstand(siege, attack, seconds=30, growth_mib=16).is_bearable


def test_noise_before_a_login(siege: Siege, withstand: Withstand) -> None:
    async def one(kind: str) -> None:
        async with before_login(siege.port) as connection:
            await make_noise(connection, kind)

    async def attack() -> None:
        await all_at_once(*map(one, EARLY_NOISE))

    assert withstand(siege, attack, seconds=2, growth_mib=16).is_bearable


def test_noise_before_a_key_exchange(siege: Siege, withstand: Withstand) -> None:
    async def one(kind: str) -> None:
        number, body = NOISE[kind]
        packets = frame(bytes([number]) + body) * LOADED
        async with RawSsh.greeted(siege.port) as raw:
            while True:
                await raw.send(packets)

    async def attack() -> None:
        await all_at_once(*map(one, EARLY_NOISE))

    assert withstand(siege, attack, seconds=2, growth_mib=16).is_bearable


def test_packets_behind_one_that_takes_its_time_are_not_forgotten(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    """A request to log in is decided on the side; what came with it is looked at afterwards."""
    question = string(b"applegrove.org") + string(b"ssh-connection") + string(b"none")

    async def work() -> None:
        async with before_login(server.port) as connection:
            talk = LoginTalk(connection)
            loaded = load(connection, MSG_USERAUTH_REQUEST, question)
            loaded += load(connection, MSG_IGNORE, *[string(b"")] * 200)
            loaded += load(connection, MSG_USERAUTH_REQUEST, question)
            await fire(connection, loaded)
            for _ in range(2):
                assert await talk.hear() == MSG_USERAUTH_FAILURE

    asyncio.run(work())


def test_requests_in_a_key_exchange_that_never_ends(siege: Siege, withstand: Withstand) -> None:
    """While keys are exchanged the server keeps its answers back."""

    async def attack() -> None:
        async with siege.connected() as connection:
            discard_replies(connection)
            connection._send_kexinit()
            connection._kex_complete = True
            await make_noise(connection, "global request")

    assert withstand(siege, attack, seconds=4, growth_mib=16).is_bearable


def test_key_exchanges_without_end(siege: Siege, withstand: Withstand) -> None:
    """Each costs the server a signature and a secret, and its client as much."""

    async def attack() -> None:
        async with siege.connected() as connection:
            while True:
                if connection._kex_complete:
                    connection._send_kexinit()
                    connection._kexinit_sent = True
                await asyncio.sleep(0)
                if connection.is_closed():
                    raise ConnectionResetError

    assert withstand(siege, attack, seconds=3, growth_mib=16).is_bearable


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">IB", 0xFFFFFFFF, 4) + bytes(64),
        struct.pack(">IB", 0x7FFFFFFF, 4) + bytes(64),
        struct.pack(">IB", 256 * 1024 + 1, 4) + bytes(64),
        struct.pack(">IB", 12, 255) + bytes(64),
        struct.pack(">IB", 12, 11) + bytes(64),
        bytes(64),
        frame(b"\xff" * 64),
        frame(b"\x14" * 64),
    ],
    ids=["4 GiB", "2 GiB", "too long", "padding", "no payload", "no length", "no kind", "no lists"],
)
def test_a_first_packet_of_absurd_length_ends_the_connection(
    server: Nightdrop, data: bytes
) -> None:
    async def work() -> None:
        async with RawSsh.greeted(server.port) as raw:
            await raw.send(data)
            assert await raw.is_ended()

    asyncio.run(work())


@pytest.mark.parametrize(
    "greeting",
    [b"SSH-2.0-" + b"x" * 100_000, b"x" * 100_000, b"SSH-1.5-old\r\n", b"\0" * 9000, b"\n" * 2000],
    ids=["long", "endless", "version 1", "zeros", "line ends"],
)
def test_an_absurd_greeting_ends_the_connection(server: Nightdrop, greeting: bytes) -> None:
    async def work() -> None:
        async with RawSsh.connected(server.port) as raw:
            await raw.send(greeting)
            assert await raw.is_ended()

    asyncio.run(work())


def test_an_encrypted_packet_of_absurd_length_ends_the_connection(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            await fire(connection, load(connection, MSG_IGNORE, string(bytes(300 * 1024))))
            await asyncio.wait_for(connection.wait_closed(), 10)
            assert connection.is_closed()

    asyncio.run(work())


def test_packets_that_never_become_whole(siege: Siege, withstand: Withstand) -> None:
    """What a stranger may leave with the server is what one packet may hold, and no more."""
    part = struct.pack(">IB", 256 * 1024 - 16, 4) + bytes(200 * 1024)

    async def attack() -> None:
        async with AsyncExitStack() as opened:
            for _ in range(64):
                raw = await opened.enter_async_context(RawSsh.greeted(siege.port))
                await raw.send(part)
            await asyncio.sleep(1)

    assert withstand(siege, attack, seconds=10, growth_mib=20).is_bearable
