# SPDX-License-Identifier: Apache-2.0
"""What the journal hears of each attempt to connect, and of what is none."""

import asyncio
import shutil
import socket
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncssh
import paramiko
import pytest

from nightdrop.core.accounts import Account, LoginFault
from nightdrop.core.events import Ending, Event, EventKind
from nightdrop.sftp import attempt
from nightdrop.sftp.attempt import MAX_TOLD_A_MINUTE, Tally
from sftp.harness import ClientKey, MakeKey, MakeServer, Nightdrop, OpenSsh, connect
from sftp.raw import string


def visit(server: Nightdrop, key: ClientKey) -> None:
    """Log in and leave, so that all that came before is known to have been noted."""

    async def work() -> None:
        async with connect(server, key):
            pass

    asyncio.run(work())
    server.wait_for(EventKind.DISCONNECTED)


def refusal(server: Nightdrop) -> Event:
    (event,) = server.wait_for(EventKind.LOGIN_REFUSED)
    return event


def test_a_look_at_the_port_is_no_attempt(server: Nightdrop, apple_key: ClientKey) -> None:
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(300), b"SSH-2.0-cut"):
        with socket.create_connection(("127.0.0.1", server.port)) as stranger:
            assert stranger.recv(100) == b"SSH-2.0-Nightdrop\r\n"
            stranger.sendall(said)
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(4096):
                pass
    visit(server, apple_key)
    kinds = [event.kind for event in server.events]
    assert kinds == [EventKind.LOGIN_ACCEPTED, EventKind.DISCONNECTED]


def test_who_spoke_ssh_and_left_is_noted_without_a_district(server: Nightdrop) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as stranger:
        stranger.sendall(b"SSH-2.0-\x1b[31mWhatever\r\n")
    event = refusal(server)
    assert event.district is None
    assert event.facts["reason"] == LoginFault.GAVE_UP
    assert event.facts["client"] == "SSH-2.0-?[31mWhatever"
    assert event.facts["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("option", "lacking", "offered"),
    [
        ("KexAlgorithms=ecdh-sha2-nistp256", "kex", "ecdh-sha2-nistp256"),
        ("HostKeyAlgorithms=ecdsa-sha2-nistp256", "host-key", "ecdsa-sha2-nistp256"),
        ("Ciphers=aes128-cbc", "cipher", "aes128-cbc"),
        ("MACs=hmac-sha1", "mac", "hmac-sha1"),
    ],
)
def test_a_client_that_is_too_old_is_noted_with_what_it_offered(
    openssh: OpenSsh, option: str, lacking: str, offered: str
) -> None:
    done = openssh.ssh("-o", option, "-o", "Ciphers=aes128-ctr", "applegrove.org@127.0.0.1")
    assert done.returncode != 0
    event = refusal(openssh.server)
    assert event.district is None
    assert event.facts["reason"] == LoginFault.NO_COMMON_ALGORITHMS
    assert event.facts["lacking"] == lacking
    assert str(event.facts["offered"]).split(",")[0] == offered
    assert "OpenSSH" in str(event.facts["client"])
    assert event.facts["profile"] == "modern"


def greet_with(*key_exchanges: bytes) -> bytes:
    """Return what a client says first: its version, and what it offers."""
    lists = [b",".join(key_exchanges), b"ssh-ed25519", *[b"none"] * 6, b"", b""]
    body = b"\x14" + bytes(16) + b"".join(map(string, lists)) + bytes(5)
    padding = bytes(16 - (5 + len(body)) % 8)
    packet = bytes([len(padding)]) + body + padding
    return b"SSH-2.0-odd\r\n" + string(packet)


def test_an_endless_list_of_algorithms_is_cut(server: Nightdrop) -> None:
    names = [f"{number}-sha\x1b1@example.org".encode() for number in range(500)]
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(greet_with(*names))
        while client.recv(4096):
            pass
    offered = str(refusal(server).facts["offered"])
    assert offered.startswith("0-sha?1@example.org,1-sha?1@")
    assert len(offered) == 300


def test_a_refused_key_is_noted_while_its_client_is_still_there(
    server: Nightdrop, birch_key: ClientKey
) -> None:
    client = paramiko.Transport(("127.0.0.1", server.port))
    try:
        client.start_client(timeout=10)
        wrong = paramiko.Ed25519Key.from_private_key_file(str(birch_key.path))
        for _ in range(3):
            with pytest.raises(paramiko.AuthenticationException):
                client.auth_publickey("Nobody" * 20, wrong)
            with pytest.raises(paramiko.AuthenticationException):
                client.auth_publickey("AppleGrove.org", wrong)
        events = server.wait_for(EventKind.LOGIN_REFUSED, count=2)
        assert client.is_active()
    finally:
        client.close()
    stranger, known = events
    assert (stranger.district, stranger.facts["username"]) == (None, ("nobody" * 20)[:64])
    assert known.district == server.accounts["applegrove.org"].district
    assert known.facts["username"] == "applegrove.org"
    assert known.facts["reason"] == LoginFault.UNKNOWN_KEY
    assert known.facts["fingerprint"] == birch_key.key.get_fingerprint()
    assert known.facts["key_type"] == "ssh-ed25519"
    assert str(known.facts["client"]).startswith("SSH-2.0-paramiko")
    server.stop()
    assert server.events == [stranger, known]


def test_a_good_key_that_is_never_signed_with_is_noted(
    server: Nightdrop, apple_key: ClientKey, tmp_path: Path
) -> None:
    """So it is when a script's key has a passphrase: the client offers it and cannot use it."""
    locked = tmp_path / "id_ed25519"
    shutil.copy(apple_key.path, locked)
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "a passphrase", "-f", str(locked)]
    subprocess.run(change, check=True, stdout=subprocess.DEVNULL)
    client = OpenSsh(server, ClientKey(apple_key.key, locked))
    assert client.sftp("ls", check=False).returncode != 0
    event = refusal(server)
    assert event.facts["reason"] == LoginFault.GAVE_UP
    assert event.facts["fingerprint"] == apple_key.key.get_fingerprint()
    assert event.district == server.accounts["applegrove.org"].district


def test_a_login_is_noted_with_what_was_agreed_on(openssh: OpenSsh) -> None:
    """The options of OpenSSH come first that are given last."""
    done = openssh.ssh(
        "-o", "KexAlgorithms=curve25519-sha256", "-o", "HostKeyAlgorithms=rsa-sha2-256",
        "-o", "Ciphers=aes256-ctr", "-o", "MACs=hmac-sha2-512-etm@openssh.com",
        "-s", "applegrove.org@127.0.0.1", "sftp",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (event,) = openssh.server.wait_for(EventKind.LOGIN_ACCEPTED)
    (rsa,) = [key for key in openssh.server.host_keys() if key.algorithm == b"ssh-rsa"]
    expected = {
        "username": "applegrove.org", "address": "127.0.0.1", "profile": "modern",
        "fingerprint": openssh.key.key.get_fingerprint(), "key_type": "ssh-ed25519",
        "kex": "curve25519-sha256", "cipher": "aes256-ctr",
        "mac": "hmac-sha2-512-etm@openssh.com", "host_key_algorithm": "rsa-sha2-256",
        "host_key": rsa.get_fingerprint(),
    }  # fmt: skip
    assert event.facts.items() >= expected.items()
    assert event.facts.keys() == expected.keys() | {"client"}


def test_a_cipher_that_checks_itself_has_no_mac(openssh: OpenSsh) -> None:
    openssh.sftp("ls")
    (event,) = openssh.server.wait_for(EventKind.LOGIN_ACCEPTED)
    assert event.facts["cipher"] in {"aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"}
    assert "mac" not in event.facts


def test_the_end_of_a_visit_is_noted_with_how_it_came(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    def ending() -> tuple[object, object]:
        found = server.wait_for(EventKind.DISCONNECTED, count=1)
        server.events.clear()
        assert found[-1].district == server.accounts["applegrove.org"].district
        return found[-1].facts["reason"], found[-1].facts["told"]

    visit(server, apple_key)
    assert ending() == (Ending.CLOSED, None)

    async def abort() -> None:
        connection = await connect(server, apple_key)
        connection.abort()

    asyncio.run(abort())
    assert ending() == (Ending.LOST, None)

    async def stay() -> None:
        connection = await connect(server, apple_key)
        server.change("applegrove.org", is_suspended=True)
        await connection.wait_closed()

    asyncio.run(stay())
    assert ending() == (
        Ending.ENDED, "This account was suspended. Ask whoever runs this service."
    )  # fmt: skip


def test_one_connection_that_asks_for_too_many_sessions_is_noted_once(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    server = make_server(sessions_per_district=1)
    server.add("applegrove.org", apple_key)

    async def work() -> None:
        async with connect(server, apple_key) as connection:
            await connection.start_sftp_client()
            for _ in range(50):
                with pytest.raises(asyncssh.ChannelOpenError, match="1 sessions open"):
                    await connection.start_sftp_client()

    asyncio.run(work())
    assert refusal(server).facts["reason"] == LoginFault.TOO_MANY_SESSIONS
    server.wait_for(EventKind.DISCONNECTED)
    assert len(server.of_kind(EventKind.LOGIN_REFUSED)) == 1


def test_a_client_in_a_loop_does_not_fill_the_journal(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "MAX_TOLD_A_MINUTE", 2)

    async def try_often(username: str, key: ClientKey, *, times: int) -> None:
        for _ in range(times):
            with pytest.raises(asyncssh.PermissionDenied):
                await connect(server, key, username=username)

    asyncio.run(try_often("applegrove.org", birch_key, times=7))
    asyncio.run(try_often("birchhill.org", apple_key, times=1))
    visit(server, apple_key)
    server.stop()
    noted = Counter(event.facts["username"] for event in server.of_kind(EventKind.LOGIN_REFUSED))
    # A minute may have begun in between.
    assert noted["applegrove.org"] in range(2, 5)
    assert noted["birchhill.org"] == 1


def test_each_source_account_and_minute_is_counted_by_itself() -> None:
    tally = Tally()
    now = datetime(2026, 11, 23, 2, 0, 59, tzinfo=UTC)
    apple, birch = (Account(uuid4(), username) for username in ("apple", "birch"))

    def count(address: str, account: Account | None, *, now: datetime = now) -> int:
        return sum(tally.may_tell(address, account, now=now) for _ in range(2 * MAX_TOLD_A_MINUTE))

    assert count("192.0.2.7", apple) == MAX_TOLD_A_MINUTE
    assert count("192.0.2.7", birch) == MAX_TOLD_A_MINUTE
    assert count("192.0.2.8", apple) == MAX_TOLD_A_MINUTE
    assert count("2001:db8::1", None) == MAX_TOLD_A_MINUTE
    assert count("2001:db8::2", None) == 0
    assert count("192.0.2.7", apple) == 0
    assert count("192.0.2.7", apple, now=now + timedelta(seconds=1)) == MAX_TOLD_A_MINUTE


def test_who_ends_while_the_server_stops_was_told(
    make_server: MakeServer, make_key: MakeKey
) -> None:
    server, key = make_server(), make_key("ssh-ed25519")
    server.add("applegrove.org", key)
    with subprocess.Popen(
        ["ssh", *OpenSsh(server, key).options, "-p", str(server.port), "-s",
         "applegrove.org@127.0.0.1", "sftp"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as client:  # fmt: skip
        server.wait_for(EventKind.LOGIN_ACCEPTED)
        server.stop()
        client.communicate()
    (event,) = server.of_kind(EventKind.DISCONNECTED)
    assert "restarting" in str(event.facts["told"])
