# SPDX-License-Identifier: Apache-2.0
"""What a connection meets before SSH begins, over real sockets on the server's kind of loop."""

import asyncio
import re
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import asyncssh
import pytest
import uvloop

from nightdrop.config import Config
from nightdrop.core.addresses import read_address
from nightdrop.sftp import door as door_module
from nightdrop.sftp.door import Doors, Make
from nightdrop.sftp.guard import Guard, Ticket
from nightdrop.storage.counters import ALL_LOGINS
from nightdrop.storage.ledger import Ledger
from sftp.balancer import SIGNATURE, Balancer, header
from sftp.harness import ClientKey

PATIENCE_SECONDS = 10.0
GREETING = b"SSH-2.0-OpenSSH_9.2p1\r\n"
HELLO = b"SSH-2.0-Test\r\n"
SOURCE = "198.51.100.7"
TRUSTED = ("127.0.0.0/8",)


class Inside(asyncio.Protocol):
    """What serves a connection that was let in: says hello, and sends back what it is told."""

    def __init__(self, ticket: Ticket, *, guard: Guard) -> None:
        self.ticket = ticket
        self._guard = guard
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one in all but name.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(HELLO)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._guard.left(self.ticket)


class Entrance:
    """Doors on a port, and who came in."""

    def __init__(self, ledger: Ledger, config: Config) -> None:
        self.ledger = ledger
        self.guard = Guard(ledger, config=config)
        self.inside: list[Inside] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.make: Make = self._make_inside
        self.doors = Doors(
            self.guard,
            self._call_make,
            trusted_proxies=config.trusted_proxies,
            header_seconds=config.login_grace_seconds,
        )
        self.port = 0

    def _call_make(self, ticket: Ticket) -> asyncio.Protocol:
        return self.make(ticket)

    def _make_inside(self, ticket: Ticket) -> asyncio.Protocol:
        self.inside.append(Inside(ticket, guard=self.guard))
        return self.inside[-1]

    @property
    def ticket(self) -> Ticket:
        (inside,) = self.inside
        return inside.ticket

    @property
    def waiting(self) -> int:
        return self.ledger.counters.count(ALL_LOGINS)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        """End the connections of both sides."""
        self.doors.close()
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def tell(self, *parts: bytes) -> bytes:
        """Send parts one by one, and return all that is answered before the end."""
        reader, writer = await self.connect()
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
        told = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        writer.close()
        return told

    async def ask(self, *parts: bytes, answer: bytes) -> None:
        """Send parts one by one, wait for the whole answer, and leave."""
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
            await writer.drain()
        told = await asyncio.wait_for(reader.readexactly(len(answer)), PATIENCE_SECONDS)
        assert told == answer
        writer.close()


Work = Callable[[Entrance], Awaitable[None]]
Run = Callable[..., None]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of a process that has joined."""
    with closing(Ledger.join(tmp_path / "run" / "ledger")) as ledger:
        yield ledger


@pytest.fixture
def run(tmp_path: Path, ledger: Ledger) -> Run:
    """Run some work beside an entrance, on uvloop."""

    @asynccontextmanager
    async def opened(config: Config) -> AsyncIterator[Entrance]:
        entrance = Entrance(ledger, config)
        loop = asyncio.get_running_loop()
        async with await loop.create_server(entrance.doors, "127.0.0.1", 0) as server:
            entrance.port = server.sockets[0].getsockname()[1]
            try:
                yield entrance
            finally:
                await entrance.close()

    def run(work: Work, **settings: object) -> None:
        config = Config.model_validate({"home": tmp_path} | settings)

        async def all_of_it() -> None:
            async with opened(config) as entrance:
                await work(entrance)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(all_of_it())

    return run


def farewell(told: bytes) -> str:
    """Return the text of a farewell, which is a greeting and one packet that disconnects."""
    greeting, _, packet = told.partition(b"\r\n")
    assert greeting == b"SSH-2.0-Nightdrop"
    size, padding, kind, _, text_size = struct.unpack_from(">IBBII", packet)
    assert (kind, len(packet)) == (asyncssh.constants.MSG_DISCONNECT, 4 + size)
    assert len(packet) % 8 == 0
    text, rest = packet[14 : 14 + text_size], packet[14 + text_size :]
    assert padding >= 4
    assert rest == b"\0\0\0\2en" + bytes(padding)
    return text.decode("ascii")


async def until(is_true: Callable[[], bool]) -> None:
    """Wait for what the server notices a moment later."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_true():  # noqa: ASYNC110 - it has no event to tell
            await asyncio.sleep(0.001)


def test_who_comes_directly_is_let_in_at_once(run: Run) -> None:
    async def work(entrance: Entrance) -> None:
        reader, writer = await entrance.connect()
        assert await reader.readline() == HELLO
        ticket = entrance.ticket
        assert (ticket.address, ticket.port) == writer.get_extra_info("sockname")
        assert entrance.waiting == 1
        writer.write(GREETING)
        assert await reader.readline() == GREETING
        writer.close()
        await until(lambda: entrance.waiting == 0)

    run(work)


@pytest.mark.parametrize("source", [SOURCE, "2001:db8::7"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_trusted_balancer_says_whose_a_connection_is(run: Run, version: int, source: str) -> None:
    first = header(source, version=version)

    async def work(entrance: Entrance) -> None:
        await entrance.ask(first + GREETING, answer=HELLO + GREETING)
        assert (entrance.ticket.address, entrance.ticket.port) == (source, 50022)
        assert not entrance.doors.waiting

    run(work, trusted_proxies=TRUSTED)


def has_arrived(entrance: Entrance, number: int) -> bool:
    """Whether so many bytes of a header have arrived, or all of it."""
    return [len(door._arrived) for door in entrance.doors.waiting] in ([number], [])


@pytest.mark.parametrize("version", [1, 2])
def test_a_header_may_come_byte_by_byte(run: Run, version: int) -> None:
    sent = header(SOURCE, version=version) + GREETING

    async def work(entrance: Entrance) -> None:
        reader, writer = await entrance.connect()
        for number, byte in enumerate(sent[: -len(GREETING)], start=1):
            writer.write(bytes([byte]))
            await until(partial(has_arrived, entrance, number))
        writer.write(GREETING)
        answer = HELLO + GREETING
        assert await asyncio.wait_for(reader.readexactly(len(answer)), 10) == answer
        assert entrance.ticket.address == SOURCE
        writer.close()

    run(work, trusted_proxies=TRUSTED)


@pytest.mark.parametrize(
    "first", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0"], ids=["unknown", "local"]
)
def test_a_header_that_names_nobody_leaves_the_connection_the_balancers(
    run: Run, first: bytes
) -> None:
    async def work(entrance: Entrance) -> None:
        await entrance.ask(first, answer=HELLO)
        assert entrance.ticket.address == "127.0.0.1"

    run(work, trusted_proxies=TRUSTED)


@pytest.mark.parametrize(
    "first",
    [
        GREETING,
        b"PROXY TCP4 198.51.100.7\r\n",
        SIGNATURE + b"\x11\x11\0\0",
        b"PROXY " + b"x" * 10**6,
    ],
    ids=["none", "bad line", "bad version", "endless"],
)
def test_without_a_good_header_a_balancers_connection_ends(run: Run, first: bytes) -> None:
    async def work(entrance: Entrance) -> None:
        told = farewell(await entrance.tell(first))
        assert told == "The PROXY protocol header of your load balancer cannot be read."
        assert entrance.inside == []
        assert entrance.waiting == 0

    run(work, trusted_proxies=TRUSTED)


def test_a_header_has_as_much_time_as_a_login(run: Run) -> None:
    async def work(entrance: Entrance) -> None:
        assert await entrance.tell(b"PROXY TCP4 198.51") == b""
        assert not entrance.doors.waiting
        assert entrance.inside == []

    run(work, trusted_proxies=TRUSTED, login_grace_seconds=1)


def test_a_trusted_network_is_known_in_all_its_clothes(tmp_path: Path, ledger: Ledger) -> None:
    guard = Guard(ledger, config=Config(home=tmp_path))
    networks = ("192.0.2.0/28", "2001:db8::1", "fe80::/64")
    doors = Doors(guard, partial(Inside, guard=guard), trusted_proxies=networks, header_seconds=1)
    for trusted in ("192.0.2.15", "::ffff:192.0.2.1", "2001:db8::1", "fe80::1%eth0"):
        assert doors.is_trusted(str(read_address(trusted)))
    for stranger in ("192.0.2.16", "::ffff:192.0.2.16", "2001:db8::2", "::c000:201"):
        assert not doors.is_trusted(str(read_address(stranger)))


def test_a_source_is_told_that_it_has_too_many_connections(run: Run) -> None:
    async def work(entrance: Entrance) -> None:
        first, writer = await entrance.connect()
        assert await first.readline() == HELLO
        # However much it says: what was not read must not keep the answer from being read.
        told = farewell(await entrance.tell(GREETING, bytes(10**6)))
        assert told == (
            "Too many connections from your network are waiting to log in. Try again in a minute."
        )
        assert entrance.waiting == len(entrance.inside) == 1
        writer.close()
        await until(lambda: entrance.waiting == 0)
        await entrance.ask(answer=HELLO)

    run(work, login_slots_per_source=1)


def test_everybody_is_told_when_there_are_too_many(run: Run) -> None:
    async def work(entrance: Entrance) -> None:
        first, writer = await entrance.connect()
        assert await first.readline() == HELLO
        told = farewell(await entrance.tell())
        assert told == "Too many connections are waiting to log in. Try again in a minute."
        writer.close()

    run(work, login_slots=1)


def close_door(entrance: Entrance, source: str) -> datetime:
    """Fail to log in from a source until it must wait; return until when."""
    now = datetime.now(UTC)
    for moment in (now, now, now + timedelta(seconds=1), now + timedelta(seconds=3)):
        entrance.guard.failed(source, "nobody", has_account=False, now=moment)
    found = entrance.guard.penalty_until(source, "", now=now)
    assert found is not None
    return found


def test_who_must_wait_is_told_until_when(run: Run) -> None:
    async def work(entrance: Entrance) -> None:
        at = close_door(entrance, SOURCE)
        told = farewell(await entrance.tell(header(SOURCE, version=2) + GREETING))
        assert told == f"Too many logins failed from your network. Try again at {at:%H:%M:%S} UTC."
        await entrance.ask(header("198.51.100.8", version=2), answer=HELLO)
        assert entrance.ticket.address == "198.51.100.8"

    run(work, trusted_proxies=TRUSTED, penalty_room=1)


def test_few_are_given_time_to_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_MOST_FAREWELLS", 1)

    async def work(entrance: Entrance) -> None:
        close_door(entrance, "127.0.0.1")
        slow, writer = await entrance.connect()
        assert (await slow.readline()) == b"SSH-2.0-Nightdrop\r\n"
        assert len(entrance.doors.leaving) == 1
        assert farewell(await entrance.tell()).startswith("Too many logins")
        assert len(entrance.doors.leaving) == 1
        writer.close()
        await until(lambda: not entrance.doors.leaving)

    run(work, penalty_room=1)


def test_who_does_not_leave_is_thrown_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_FAREWELL_SECONDS", 1.0)

    async def work(entrance: Entrance) -> None:
        close_door(entrance, "127.0.0.1")
        _, writer = await entrance.connect()
        await until(lambda: len(entrance.doors.leaving) == 1)
        await until(lambda: not entrance.doors.leaving)
        assert not entrance.doors.leaving
        writer.close()

    run(work, penalty_room=1)


def test_those_at_the_door_go_when_the_server_stops_and_those_inside_stay(run: Run) -> None:
    async def work(entrance: Entrance) -> None:
        inside, writer = await entrance.connect()
        writer.write(header(SOURCE, version=1))
        assert await inside.readline() == HELLO
        waiting, other_writer = await entrance.connect()
        other_writer.write(b"PROXY ")
        await until(lambda: len(entrance.doors.waiting) == 1)
        entrance.doors.close()
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(waiting.read(), PATIENCE_SECONDS) == b""
        assert not entrance.doors.waiting
        writer.write(GREETING)
        assert await inside.readline() == GREETING
        writer.close()
        other_writer.close()

    run(work, trusted_proxies=TRUSTED)


def test_a_place_is_given_back_when_nobody_can_be_let_in(run: Run) -> None:
    def fail(ticket: Ticket) -> asyncio.Protocol:
        raise MemoryError(ticket.address)

    async def work(entrance: Entrance) -> None:
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: faults.append(context.get("exception"))
        )
        entrance.make = fail
        with suppress(ConnectionResetError):
            assert await entrance.tell() == b""
        assert [type(fault) for fault in faults] == [MemoryError]
        assert entrance.waiting == 0

    run(work)


# With asyncssh behind the door.


class Welcome(asyncssh.SSHServer):
    """Anybody may log in."""

    def begin_auth(self, username: str) -> bool:
        return bool(username)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return bool(username) and key is not None


class Ssh(asyncssh.SSHServerConnection):
    """asyncssh's connection, with as little as it takes to stand behind a door."""

    def __init__(
        self, options: asyncssh.SSHServerConnectionOptions, ticket: Ticket, guard: Guard
    ) -> None:
        super().__init__(asyncio.get_running_loop(), options)
        self._ticket = ticket
        self._guard = guard
        self.set_extra_info(peername=(ticket.address, ticket.port))

    def connection_lost(self, exc: Exception | None = None) -> None:
        super().connection_lost(exc)
        self._guard.left(self._ticket)


def serve_ssh(entrance: Entrance) -> list[Ssh]:
    """Have asyncssh behind the door from now on; return whom it serves."""
    options = asyncssh.SSHServerConnectionOptions(
        server_factory=Welcome,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        sftp_factory=asyncssh.SFTPServer,
    )
    inside: list[Ssh] = []

    def make(ticket: Ticket) -> asyncio.Protocol:
        inside.append(Ssh(options, ticket, entrance.guard))
        # asyncssh's connection is one in all but name.
        return cast("asyncio.Protocol", inside[-1])

    entrance.make = make
    return inside


def run_sftp(port: int, key: ClientKey) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sftp", "-F", "/dev/null", "-i", str(key.path), "-o", "IdentitiesOnly=yes",
         "-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
         "-o", "UserKnownHostsFile=/dev/null", "-b", "-", "-P", str(port),
         "applegrove.org@127.0.0.1"],
        input="pwd\n", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("version", [1, 2])
def test_openssh_comes_in_through_a_balancer(run: Run, version: int, apple_key: ClientKey) -> None:
    async def work(entrance: Entrance) -> None:
        inside = serve_ssh(entrance)
        with Balancer(entrance.port, header("2001:db8::7", version=version)) as balancer:
            done = await asyncio.to_thread(run_sftp, balancer.port, apple_key)
        assert done.returncode == 0, done.stderr
        assert "Remote working directory" in done.stdout
        assert [each.get_extra_info("peername") for each in inside] == [("2001:db8::7", 50022)]
        await until(lambda: entrance.waiting == 0)

    run(work, trusted_proxies=TRUSTED)


def test_openssh_shows_why_it_was_turned_away(run: Run, apple_key: ClientKey) -> None:
    async def work(entrance: Entrance) -> None:
        inside = serve_ssh(entrance)
        at = close_door(entrance, "127.0.0.1")
        done = await asyncio.to_thread(run_sftp, entrance.port, apple_key)
        assert done.returncode != 0
        assert (
            f"Too many logins failed from your network. Try again at {at:%H:%M:%S}" in done.stderr
        )
        assert inside == []

    run(work, penalty_room=1)


@pytest.mark.parametrize("version", [1, 2])
def test_a_header_from_anybody_else_ends_the_connection(run: Run, version: int) -> None:
    async def work(entrance: Entrance) -> None:
        serve_ssh(entrance)
        told = await entrance.tell(header(SOURCE, version=version), GREETING)
        # asyncssh's own greeting, and no key exchange after it.
        assert re.fullmatch(rb"SSH-2\.0-[^\n]*\r\n", told)
        await until(lambda: entrance.waiting == 0)

    run(work)
