# SPDX-License-Identifier: Apache-2.0
"""Who gets in, who does not, and what either learns."""

import asyncio
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh
import paramiko
import pytest

from nightdrop.core.accounts import LoginFault
from nightdrop.core.events import EventKind
from nightdrop.sftp.connection import MAX_TRIES
from sftp.harness import ClientKey, MakeKey, MakeServer, Nightdrop, OpenSsh, connect

HOUR = timedelta(hours=1)


def refusals(server: Nightdrop, *, count: int = 1) -> list[tuple[object, object]]:
    events = server.wait_for(EventKind.LOGIN_REFUSED, count=count)
    return [(event.facts["username"], event.facts["reason"]) for event in events]


def try_login(server: Nightdrop, key: ClientKey, username: str = "applegrove.org") -> str:
    """Return what a client is told: its error's type and text, or nothing."""

    async def work() -> str:
        try:
            async with connect(server, key, username=username):
                return ""
        except asyncssh.Error as error:
            return f"{type(error).__name__}: {error}"

    return asyncio.run(work())


@pytest.mark.parametrize(
    "algorithm",
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"],
)
def test_every_kind_of_key_logs_in(
    make_server: MakeServer, make_key: MakeKey, algorithm: str
) -> None:
    server, key = make_server(), make_key(algorithm)
    district = server.add("applegrove.org", key)
    OpenSsh(server, key, username="AppleGrove.org").sftp("ls")
    (event,) = server.wait_for(EventKind.LOGIN_ACCEPTED)
    assert event.district == district
    assert event.facts["username"] == "applegrove.org"
    assert event.facts["fingerprint"] == key.key.get_fingerprint()
    assert event.facts["address"] == "127.0.0.1"
    assert "OpenSSH" in str(event.facts["client"])


def test_all_refusals_look_alike(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey
) -> None:
    told = {
        try_login(server, apple_key, "nobody.org").replace("nobody", "applegrove"),
        try_login(server, birch_key, "applegrove.org"),
    }
    server.change("applegrove.org", is_suspended=True)
    told.add(try_login(server, apple_key))
    assert len(told) == 1
    assert {reason for _, reason in refusals(server, count=3)} == {
        LoginFault.UNKNOWN_USER, LoginFault.UNKNOWN_KEY, LoginFault.SUSPENDED,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}, LoginFault.KEY_EXPIRED),
        ({"networks": ("192.0.2.0/24",)}, LoginFault.WRONG_NETWORK),
    ],
)
def test_a_key_is_refused_where_and_when_it_may_not_be_used(
    server: Nightdrop, apple_key: ClientKey, changes: dict[str, Any], reason: LoginFault
) -> None:
    server.restrict("applegrove.org", **changes)
    assert "Permission denied" in try_login(server, apple_key)
    assert refusals(server) == [("applegrove.org", reason)]
    (event,) = server.of_kind(EventKind.LOGIN_REFUSED)
    assert event.district == server.accounts["applegrove.org"].district
    assert event.facts["fingerprint"] == apple_key.key.get_fingerprint()


def test_an_old_snapshot_refuses_everybody(server: Nightdrop, apple_key: ClientKey) -> None:
    server.know(taken_at=datetime.now(UTC) - 25 * HOUR)
    assert "Permission denied" in try_login(server, apple_key)
    assert refusals(server) == [("applegrove.org", LoginFault.SNAPSHOT_TOO_OLD)]


def test_passwords_and_clients_without_keys_are_refused(server: Nightdrop) -> None:
    client = paramiko.Transport(("127.0.0.1", server.port))
    try:
        client.start_client(timeout=10)
        with pytest.raises(paramiko.BadAuthenticationType) as refused:
            client.auth_password("applegrove.org", "secret")
        assert refused.value.allowed_types == ["publickey"]
    finally:
        client.close()
    assert refusals(server) == [("applegrove.org", LoginFault.NO_KEY_OFFERED)]


def test_a_key_added_works_within_a_second(
    server: Nightdrop, make_key: MakeKey, apple_key: ClientKey
) -> None:
    key = make_key("ssh-ed25519")
    assert "Permission denied" in try_login(server, key)
    started = time.monotonic()
    server.change("applegrove.org", keys=(key.installed(), apple_key.installed()))
    while try_login(server, key):
        assert time.monotonic() - started < 1


def test_a_key_removed_ends_its_sessions_within_a_second(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey
) -> None:
    async def work() -> None:
        async with connect(server, birch_key, username="birchhill.org") as other:
            connection = await connect(server, apple_key)
            sftp = await connection.start_sftp_client()
            await sftp.listdir("/")
            server.change("applegrove.org", keys=())
            await asyncio.wait_for(connection.wait_closed(), 1)
            async with other.start_sftp_client() as theirs:
                await theirs.listdir("/")

    asyncio.run(work())
    assert "Permission denied" in try_login(server, apple_key)


def test_a_client_is_told_why_its_session_ends(server: Nightdrop, apple_key: ClientKey) -> None:
    server.restrict("applegrove.org", expires_at=datetime.now(UTC) + timedelta(seconds=1))
    with subprocess.Popen(
        ["ssh", "-o", "LogLevel=INFO", *OpenSsh(server, apple_key).options,
         "-p", str(server.port), "-s", "applegrove.org@127.0.0.1", "sftp"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as client:  # fmt: skip
        assert client.stderr is not None
        told = client.stderr.read()
    assert "The key that you logged in with has expired" in told
    server.wait_for(EventKind.DISCONNECTED)


def test_six_tries_and_no_more(make_server: MakeServer, make_key: MakeKey) -> None:
    server = make_server()
    server.add("applegrove.org")
    keys = [make_key("ssh-ed25519") for _ in range(MAX_TRIES + 4)]

    async def work() -> None:
        with pytest.raises(asyncssh.DisconnectError, match="Too many tries"):
            await asyncssh.connect(
                "127.0.0.1", server.port, username="applegrove.org", known_hosts=None,
                client_keys=[key.key for key in keys], config=None, agent_path=None,
            )  # fmt: skip

    asyncio.run(work())
    server.wait_for(EventKind.LOGIN_REFUSED, count=MAX_TRIES)
    server.stop()
    assert [event.kind for event in server.events] == [EventKind.LOGIN_REFUSED] * MAX_TRIES


def test_a_client_that_does_not_log_in_is_disconnected(make_server: MakeServer) -> None:
    server = make_server(login_grace_seconds=1)

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await reader.readline()) == b"SSH-2.0-Nightdrop\r\n"
        assert await asyncio.wait_for(reader.read(), 5) is not None
        writer.close()

    asyncio.run(work())


def test_a_district_has_so_many_sessions_and_no_more(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    server = make_server(sessions_per_district=2)
    server.add("applegrove.org", apple_key)

    async def work() -> None:
        async with connect(server, apple_key) as first, connect(server, apple_key) as second:
            one = await first.start_sftp_client()
            await second.start_sftp_client()
            with pytest.raises(asyncssh.ChannelOpenError, match="2 sessions open"):
                await second.start_sftp_client()
            one.exit()
            await one.wait_closed()
        await asyncio.to_thread(server.wait_for, EventKind.DISCONNECTED, count=2)
        async with connect(server, apple_key) as third:
            await third.start_sftp_client()
            await third.start_sftp_client()

    asyncio.run(work())
    assert refusals(server) == [("applegrove.org", LoginFault.TOO_MANY_SESSIONS)]


def test_a_connection_has_so_many_channels_and_no_more(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            for _ in range(10):
                await connection.start_sftp_client()
            with pytest.raises(asyncssh.ChannelOpenError, match="10 sessions open"):
                await connection.start_sftp_client()

    asyncio.run(work())
