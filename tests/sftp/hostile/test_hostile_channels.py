# SPDX-License-Identifier: Apache-2.0
"""Channels that are opened, filled, flooded and left in every way but the usual one."""

import asyncio
import struct
from contextlib import suppress

import asyncssh
import pytest

from nightdrop.core.events import EventKind
from nightdrop.sftp.packets import Kind, OpenFlag
from nightdrop.sftp.shares import MAX_REFUSALS
from nightdrop.sftp.visit import MAX_CHANNELS
from sftp.harness import ClientKey, MakeServer, Nightdrop, connect
from sftp.hostile.conftest import Withstand
from sftp.hostile.raw_ssh import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_WINDOW_ADJUST,
    discard_replies,
    fire,
    load,
    stop_reading,
    string,
    u32,
)
from sftp.hostile.siege import MEBIBYTE, Siege
from sftp.raw import RawSftp, packet

READ_ALL = struct.pack(">QI", 0, 16 * MEBIBYTE)
LARGEST_WINDOW = 2**31 - 1
#: What ten channels may hold (see `sftp.shares`), and what new threads take for themselves.
TEN_CHANNELS_MIB = 80
#: Packets that are made ready and fired together.
LOADED = 5000
OPEN_SESSION = string(b"session") + u32(0, 2**21, 32768)


async def open_channels(
    connection: asyncssh.SSHClientConnection, count: int = MAX_CHANNELS, *, window: int = 2**21
) -> list[RawSftp]:
    return [await RawSftp.greeted(connection, window=window) for _ in range(count)]


async def last_for_ever() -> None:
    await asyncio.Event().wait()


# Reading.


@pytest.mark.parametrize("window", [2**16, LARGEST_WINDOW], ids=["small window", "large window"])
def test_reads_whose_data_nobody_takes(siege: Siege, withstand: Withstand, window: int) -> None:
    """Ten channels, each with a mebibyte of requests and a mebibyte of replies waiting."""
    siege.upload("applegrove.org", "big").write_bytes(bytes(16 * MEBIBYTE))

    async def attack() -> None:
        async with siege.connected() as connection:
            channels = await open_channels(connection, window=window)
            handles = [await raw.open_file(b"/upload/big", OpenFlag.READ) for raw in channels]
            stop_reading(connection)
            for raw, handle in zip(channels, handles, strict=True):
                raw.send(*[packet(Kind.READ, handle, READ_ALL)] * 2000)
            await last_for_ever()

    assert withstand(siege, attack, seconds=2, growth_mib=TEN_CHANNELS_MIB).is_bearable


def test_reads_without_end(siege: Siege, withstand: Withstand) -> None:
    """A client that does take its data may have what the machine can give, and no more."""
    siege.upload("applegrove.org", "big").write_bytes(bytes(16 * MEBIBYTE))

    async def attack() -> None:
        async with siege.connected() as connection:
            channels = await open_channels(connection, window=LARGEST_WINDOW)
            handles = [await raw.open_file(b"/upload/big", OpenFlag.READ) for raw in channels]
            discard_replies(connection)
            while True:
                for raw, handle in zip(channels, handles, strict=True):
                    raw.send(*[packet(Kind.READ, handle, READ_ALL)] * 64)
                    await raw.drain()
                await asyncio.sleep(0)

    assert withstand(siege, attack, seconds=3, growth_mib=96).is_bearable


@pytest.mark.parametrize("kind", [Kind.STAT, Kind.REMOVE])
def test_questions_without_end(siege: Siege, withstand: Withstand, kind: Kind) -> None:
    """Many small requests on ten channels keep the threads of one district busy."""

    async def attack() -> None:
        async with siege.connected() as connection:
            channels = await open_channels(connection)
            discard_replies(connection)
            ask = [packet(kind, string(b"/upload/nothing"))] * 500
            while True:
                for raw in channels:
                    raw.send(*ask)
                    await raw.drain()
                await asyncio.sleep(0)

    assert withstand(siege, attack, seconds=3, growth_mib=TEN_CHANNELS_MIB).is_bearable


def test_listings_of_a_large_directory(siege: Siege, withstand: Withstand) -> None:
    for number in range(3000):
        siege.upload("applegrove.org", f"file-{number}").touch()

    async def list_on(raw: RawSftp) -> None:
        while True:
            raw.send(packet(Kind.OPENDIR, string(b"/upload")))
            handle = (await raw.receive())[5:]
            raw.send(*[packet(Kind.READDIR, handle)] * 31, packet(Kind.CLOSE, handle))
            for _ in range(32):
                await raw.receive()

    async def attack() -> None:
        async with siege.connected() as connection, asyncio.TaskGroup() as at_once:
            for raw in await open_channels(connection):
                at_once.create_task(list_on(raw))

    assert withstand(siege, attack, seconds=3, growth_mib=16).is_bearable


# Windows.


def test_windows_that_overflow(siege: Siege, withstand: Withstand) -> None:
    async def attack() -> None:
        async with siege.connected() as connection:
            raw = await RawSftp.greeted(connection)
            adjust = u32(0, 0xFFFFFFFF)
            await fire(connection, load(connection, MSG_CHANNEL_WINDOW_ADJUST, *[adjust] * 3000))
            assert (await raw.ask(Kind.STAT, string(b"/")))[0] == Kind.ATTRS

    assert withstand(siege, attack, seconds=5, growth_mib=8).is_bearable


def test_windows_of_nothing(siege: Siege, withstand: Withstand) -> None:
    """Replies that may not be sent wait; so do the requests behind them."""

    async def attack() -> None:
        async with siege.connected() as connection:
            opens = [string(b"session") + u32(number, 0, 32768) for number in range(MAX_CHANNELS)]
            await fire(connection, load(connection, MSG_CHANNEL_OPEN, *opens))
            discard_replies(connection)
            subsystem = string(b"subsystem") + b"\1" + string(b"sftp")
            greeting = string(packet(Kind.INIT, request_id=3))
            stat = string(packet(Kind.STAT, string(b"/upload")))
            for number in range(MAX_CHANNELS):
                ask = load(connection, MSG_CHANNEL_REQUEST, u32(number) + subsystem)
                data = [u32(number) + string(each) for each in (greeting, *[stat * 1000] * 60)]
                await fire(connection, ask + load(connection, MSG_CHANNEL_DATA, *data))
            await last_for_ever()

    assert withstand(siege, attack, seconds=2, growth_mib=TEN_CHANNELS_MIB).is_bearable


def test_data_beyond_the_window_ends_the_connection(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            await RawSftp.greeted(connection)
            ask = string(string(packet(Kind.STAT, string(b"x" * 30_000))))
            data = [u32(0) + ask] * 200
            with suppress(ConnectionError):
                for _ in range(10):
                    await fire(connection, load(connection, MSG_CHANNEL_DATA, *data))
            await asyncio.wait_for(connection.wait_closed(), 10)
            assert connection.is_closed()

    asyncio.run(work())


# What is kept for a channel.


def test_variables_without_end(siege: Siege, withstand: Withstand) -> None:
    """Clients send LANG and the like; what is not used need not be kept."""

    async def attack() -> None:
        async with siege.connected() as connection:
            await RawSftp.greeted(connection)
            discard_replies(connection)
            for number in range(200):
                name = string(b"NAME%d" % number)
                body = u32(0) + string(b"env") + b"\0" + name + string(bytes(200 * 1024))
                await fire(connection, load(connection, MSG_CHANNEL_REQUEST, body))
            await asyncio.sleep(1)

    assert withstand(siege, attack, seconds=20, growth_mib=8).is_bearable


def test_crumbs_on_a_channel_that_nobody_serves(siege: Siege, withstand: Withstand) -> None:
    """Two bytes in a packet must not cost a hundred in memory."""

    async def attack() -> None:
        async with siege.connected() as connection:
            discard_replies(connection)
            await fire(connection, load(connection, MSG_CHANNEL_OPEN, OPEN_SESSION))
            for _ in range(40):
                crumbs = [u32(0) + string(b"ab")] * LOADED
                await fire(connection, load(connection, MSG_CHANNEL_DATA, *crumbs))
            await asyncio.sleep(1)

    assert withstand(siege, attack, seconds=60, growth_mib=8).is_bearable


def test_channels_closed_with_a_heap_of_requests(siege: Siege, withstand: Withstand) -> None:
    """A channel that is closed makes room for the next; what it left behind must be bounded."""
    heap = [packet(Kind.MKDIR, string(b"/upload/a"), bytes(4))] * 30_000

    async def attack() -> None:
        async with siege.connected() as connection:
            for _ in range(30):
                raw = await RawSftp.greeted(connection)
                raw.send(*heap)
                await raw.drain()
                raw.close()

    assert withstand(siege, attack, seconds=5, growth_mib=TEN_CHANNELS_MIB).is_bearable


def test_channels_without_end(siege: Siege, withstand: Withstand) -> None:
    async def attack() -> None:
        async with siege.connected() as connection:
            stop_reading(connection)
            while True:
                opens = load(connection, MSG_CHANNEL_OPEN, *[OPEN_SESSION] * LOADED)
                await fire(connection, opens)

    assert withstand(siege, attack, seconds=3, growth_mib=16).is_bearable


# What is written about a channel.


def test_channels_that_are_refused_do_not_fill_the_journal(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    server = make_server(sessions_per_district=1)
    server.add("applegrove.org", apple_key)

    async def work() -> None:
        async with connect(server, apple_key) as connection:
            await RawSftp.open(connection)
            for _ in range(MAX_REFUSALS + 50):
                with pytest.raises(asyncssh.ChannelOpenError):
                    await RawSftp.open(connection)

    asyncio.run(work())
    server.wait_for(EventKind.DISCONNECTED)
    assert len(server.of_kind(EventKind.LOGIN_REFUSED)) <= MAX_REFUSALS


def test_commands_do_not_fill_the_journal(server: Nightdrop, apple_key: ClientKey) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            for _ in range(MAX_REFUSALS + 50):
                done = await connection.run("id", check=False)
                assert done.exit_status == 1

    asyncio.run(work())
    server.wait_for(EventKind.DISCONNECTED)
    assert len(server.of_kind(EventKind.REFUSED)) <= MAX_REFUSALS


def test_questions_of_many_sessions_at_once(siege: Siege, withstand: Withstand) -> None:
    """All the sessions that a district may have, on connections of their own."""
    ask = [packet(Kind.STAT, string(b"/upload/nothing"))] * 200

    async def one() -> None:
        async with siege.connected() as connection:
            raw = await RawSftp.greeted(connection)
            discard_replies(connection)
            while True:
                raw.send(*ask)
                await raw.drain()
                await asyncio.sleep(0)

    async def attack() -> None:
        async with asyncio.TaskGroup() as at_once:
            for _ in range(16):
                at_once.create_task(one())

    assert withstand(siege, attack, seconds=4, growth_mib=TEN_CHANNELS_MIB).is_bearable
