# SPDX-License-Identifier: Apache-2.0
"""Limits and waits as clients of the whole server meet them, directly and behind a balancer."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh
import pytest

from nightdrop.core.accounts import LoginFault
from nightdrop.core.events import EventKind
from nightdrop.core.penalties import Strikes
from nightdrop.storage.counters import ALL_LOGINS
from nightdrop.storage.ledger import Ledger
from sftp.balancer import Balancer, header
from sftp.harness import ClientKey, MakeKey, MakeServer, Nightdrop, OpenSsh, connect

HOUR = timedelta(hours=1)
LOCAL, SOURCE = "127.0.0.1", "198.51.100.7"
BALANCED = {"trusted_proxies": ("127.0.0.1",)}


@pytest.fixture
def strict(make_server: MakeServer, apple_key: ClientKey, birch_key: ClientKey) -> Nightdrop:
    """Run a server that lets one failure pass."""
    return populated(make_server(penalty_room=1), apple_key, birch_key)


def populated(server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey) -> Nightdrop:
    server.add("applegrove.org", apple_key)
    server.add("birchhill.org", birch_key)
    return server


def try_login(
    server: Nightdrop,
    *keys: ClientKey,
    username: str = "applegrove.org",
    port: int | None = None,
) -> str:
    """Return what a client is told that offers some keys: an error's type and text, or nothing."""

    async def work() -> str:
        try:
            async with asyncssh.connect(
                LOCAL, port or server.port, username=username, known_hosts=None, config=None,
                client_keys=[key.key for key in keys], agent_path=None,
            ):  # fmt: skip
                return ""
        except (asyncssh.Error, ConnectionError) as error:
            return f"{type(error).__name__}: {error}"

    return asyncio.run(work())


@pytest.fixture
def balanced(make_server: MakeServer) -> Iterator[Callable[..., Any]]:
    """Run a server behind balancers, and make a port of one for any source."""
    with ExitStack() as stack:

        def make(*arguments: ClientKey, **settings: Any) -> tuple[Nightdrop, Callable[..., int]]:  # noqa: ANN401
            server = populated(make_server(**BALANCED, **settings), *arguments)

            def reach(source: str, *, version: int = 2) -> int:
                first = header(source, version=version)
                return stack.enter_context(Balancer(server.port, first)).port

            return server, reach

        yield make


def reasons(server: Nightdrop, *, count: int) -> list[object]:
    events = server.wait_for(EventKind.LOGIN_REFUSED, count=count)
    return [event.facts["reason"] for event in events]


def penalise(server: Nightdrop, source: str, name: str) -> None:
    """Have a name from a source wait for half an hour."""
    # Greeted by a server that has taken note of all accounts: a change would lift the wait.
    with socket.create_connection((LOCAL, server.port)) as client:
        assert client.recv(4) == b"SSH-"
    now = datetime.now(UTC)
    strikes = Strikes(20, failed_at=now, until=now + HOUR / 2)
    with closing(Ledger.look(server.config.ledger_file)) as ledger:
        ledger.strikes.change(source, name, lambda _: strikes)


def strikes_of(server: Nightdrop, source: str, name: str) -> Strikes:
    with closing(Ledger.look(server.config.ledger_file)) as ledger:
        return ledger.strikes.find(source, name)


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_wait_looks_like_any_other_refusal(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey
) -> None:
    wrong = try_login(server, birch_key)
    penalise(server, LOCAL, "applegrove.org")
    assert try_login(server, apple_key) == try_login(server, birch_key) == wrong
    assert reasons(server, count=3) == [LoginFault.UNKNOWN_KEY, *[LoginFault.PENALISED] * 2]
    told = server.of_kind(EventKind.LOGIN_REFUSED)[1]
    assert told.district == server.accounts["applegrove.org"].district
    assert told.facts["fingerprint"] == apple_key.key.get_fingerprint()
    assert try_login(server, birch_key, username="birchhill.org") == ""
    assert strikes_of(server, LOCAL, "applegrove.org").failures == 20, "it was not looked at"


def test_the_start_of_a_wait_is_told_to_its_district(
    strict: Nightdrop, birch_key: ClientKey
) -> None:
    for _ in range(2):
        try_login(strict, birch_key, username="AppleGrove.org")
    (event,) = strict.wait_for(EventKind.PENALISED)
    assert event.district == strict.accounts["applegrove.org"].district
    until = datetime.fromisoformat(str(event.facts.pop("until")))  # type: ignore[attr-defined]
    assert event.at < until < event.at + timedelta(seconds=2)
    assert event.facts == {
        "address": LOCAL, "source": LOCAL, "username": "applegrove.org", "failures": 2,
    }  # fmt: skip


def test_a_connection_counts_once_however_many_keys_it_offers(
    server: Nightdrop, make_key: MakeKey
) -> None:
    assert try_login(server, *[make_key("ssh-ed25519") for _ in range(5)])
    wait_until(lambda: strikes_of(server, LOCAL, "applegrove.org").failures == 1)
    assert reasons(server, count=5) == [LoginFault.UNKNOWN_KEY] * 5


def test_wrong_keys_before_the_right_one_cost_nothing(
    strict: Nightdrop, make_key: MakeKey, apple_key: ClientKey
) -> None:
    wrong = [make_key("ssh-ed25519") for _ in range(3)]
    for _ in range(4):
        assert try_login(strict, *wrong, apple_key) == ""
    strict.wait_for(EventKind.DISCONNECTED, count=4)
    assert strikes_of(strict, LOCAL, "applegrove.org") == Strikes()


def test_what_is_our_own_fault_costs_nothing(strict: Nightdrop, apple_key: ClientKey) -> None:
    strict.know(taken_at=datetime.now(UTC) - 25 * HOUR)
    for _ in range(3):
        assert "Permission denied" in try_login(strict, apple_key)
    assert reasons(strict, count=3) == [LoginFault.SNAPSHOT_TOO_OLD] * 3
    strict.know()
    assert try_login(strict, apple_key) == ""


@pytest.mark.parametrize("is_new", [False, True], ids=["new key", "new account"])
def test_what_was_mended_works_within_a_second(
    server: Nightdrop, make_key: MakeKey, *, is_new: bool
) -> None:
    name, key = "cedarvale.org" if is_new else "applegrove.org", make_key("ssh-ed25519")
    penalise(server, LOCAL, name)
    if is_new:
        penalise(server, LOCAL, "")
    assert try_login(server, key, username=name)
    started = time.monotonic()
    if is_new:
        server.add(name, key)
    else:
        server.change(name, keys=(key.installed(),))
    while try_login(server, key, username=name):
        assert time.monotonic() - started < 1


def test_a_change_of_one_account_lifts_nothing_of_another(
    server: Nightdrop, make_key: MakeKey, birch_key: ClientKey
) -> None:
    penalise(server, LOCAL, "birchhill.org")
    server.change("applegrove.org", keys=(make_key("ssh-ed25519").installed(),))
    assert try_login(server, birch_key, username="birchhill.org")


def test_who_guesses_names_is_turned_away_and_nobody_else(
    balanced: Callable[..., Any], apple_key: ClientKey, birch_key: ClientKey
) -> None:
    server, reach = balanced(apple_key, birch_key, penalty_room=1)
    port = reach(SOURCE)
    assert "Permission denied" in try_login(server, apple_key, username="root", port=port)
    assert "Permission denied" in try_login(server, apple_key, username="admin", port=port)
    (event,) = server.wait_for(EventKind.PENALISED)
    assert (event.district, event.facts["source"]) == (None, SOURCE)
    assert event.facts["username"] is None
    assert "Too many logins failed from your network" in try_login(server, apple_key, port=port)
    assert try_login(server, apple_key, port=reach("198.51.100.8")) == ""
    until = datetime.fromisoformat(str(event.facts["until"]))
    wait_until(lambda: datetime.now(UTC) > until)
    assert try_login(server, apple_key, port=port) == ""


@pytest.mark.parametrize("source", [SOURCE, "2001:db8::7"])
@pytest.mark.parametrize("version", [1, 2])
def test_the_real_address_is_used_everywhere(
    balanced: Callable[..., Any],
    apple_key: ClientKey,
    birch_key: ClientKey,
    version: int,
    source: str,
) -> None:
    server, reach = balanced(apple_key, birch_key)
    server.restrict("applegrove.org", networks=(f"{source}",))
    behind = Nightdrop(server.config, server.tree, port=reach(source, version=version))
    OpenSsh(behind, apple_key).sftp("ls")
    (event,) = server.wait_for(EventKind.LOGIN_ACCEPTED)
    assert event.facts["address"] == source
    assert try_login(server, apple_key, port=reach("203.0.113.9"))
    assert reasons(server, count=1) == [LoginFault.WRONG_NETWORK]
    (event,) = server.of_kind(EventKind.LOGIN_REFUSED)
    assert event.facts["address"] == "203.0.113.9"


@pytest.mark.parametrize("version", [1, 2])
def test_nobody_else_may_say_whose_a_connection_is(
    server: Nightdrop, apple_key: ClientKey, version: int
) -> None:
    with Balancer(server.port, header(SOURCE, version=version)) as balancer:
        assert try_login(server, apple_key, port=balancer.port)
    assert try_login(server, apple_key) == ""


def test_a_connection_that_waits_for_a_header_does_not_keep_the_server(
    make_server: MakeServer,
) -> None:
    server = make_server(**BALANCED)

    async def work() -> None:
        reader, writer = await asyncio.open_connection(LOCAL, server.port)
        writer.write(b"PROXY ")
        await asyncio.to_thread(server.stop)
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()

    asyncio.run(work())


def test_so_many_wait_to_log_in_and_no_more(
    make_server: MakeServer, apple_key: ClientKey, birch_key: ClientKey
) -> None:
    server = populated(make_server(login_slots_per_source=3), apple_key, birch_key)

    async def work() -> None:
        writers = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection(LOCAL, server.port)
            assert await reader.readline() == b"SSH-2.0-Nightdrop\r\n"
            writers.append(writer)
        reader, last = await asyncio.open_connection(LOCAL, server.port)
        assert b"Too many connections from your network" in await reader.read()
        for writer in (*writers, last):
            writer.close()

    asyncio.run(work())
    wait_until(lambda: count(server, ALL_LOGINS) == 0)


def test_who_has_logged_in_before_finds_more_room(
    make_server: MakeServer, apple_key: ClientKey, birch_key: ClientKey
) -> None:
    server = populated(make_server(login_slots_per_source=1), apple_key, birch_key)
    assert try_login(server, apple_key) == ""

    async def work() -> None:
        writers = []
        for _ in range(10):
            reader, writer = await asyncio.open_connection(LOCAL, server.port)
            writers.append(writer)
            assert await reader.readline() == b"SSH-2.0-Nightdrop\r\n"
        told = await asyncio.to_thread(try_login, server, apple_key)
        assert "Too many connections from your network" in told
        writers.pop().close()
        await asyncio.to_thread(wait_until, lambda: count(server, ALL_LOGINS) == 9)
        assert await asyncio.to_thread(try_login, server, apple_key) == ""
        for writer in writers:
            writer.close()

    asyncio.run(work())


def count(server: Nightdrop, what: str) -> int:
    with closing(Ledger.look(server.config.ledger_file)) as ledger:
        return ledger.counters.count(what)


def test_two_processes_count_the_sessions_of_a_district_together(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    first = make_server(sessions_per_district=2)
    sessions = f"sessions of {first.add('applegrove.org', apple_key)}"
    second = make_server(sessions_per_district=2)
    second.accounts = first.accounts
    second.know()

    async def work() -> None:
        async with connect(first, apple_key) as one, connect(second, apple_key) as two:
            sftp = await one.start_sftp_client()
            await two.start_sftp_client()
            for connection in (one, two):
                with pytest.raises(asyncssh.ChannelOpenError, match="2 sessions open"):
                    await connection.start_sftp_client()
            sftp.exit()
            await sftp.wait_closed()
            # Its end is told to the client before the other process can see it.
            await asyncio.to_thread(wait_until, lambda: count(first, sessions) == 1)
            await two.start_sftp_client()

    asyncio.run(work())
