# SPDX-License-Identifier: Apache-2.0
"""Strangers who stay at the door, and one connection that tries to be two people.

That the key which signs is the key that counts is in `test_signed_key.py`.
"""

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import asyncssh
import pytest

from nightdrop.core.events import EventKind
from nightdrop.sftp.connection import MAX_TRIES
from sftp.harness import ClientKey, Nightdrop
from sftp.hostile.conftest import Withstand
from sftp.hostile.raw_ssh import (
    MSG_USERAUTH_FAILURE,
    MSG_USERAUTH_PK_OK,
    MSG_USERAUTH_SUCCESS,
    VERSION,
    LoginTalk,
    before_login,
    string,
)
from sftp.hostile.siege import HOSTILE, VICTIM, Siege

HALF_OPEN = 1000


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process have a socket for each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * HALF_OPEN:
        pytest.skip(f"this user may open no more than {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * HALF_OPEN), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect_and_wait(port: int, *, greeting: bytes) -> socket.socket:
    """Connect from 127.0.0.1, say as much as is given, and nothing more."""
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    with suppress(ConnectionError):
        made.sendall(greeting)
    made.setblocking(False)  # noqa: FBT003 - the standard library's
    return made


@pytest.mark.parametrize("greeting", [b"", VERSION + b"\r\n"], ids=["silent", "greeted"])
def test_a_thousand_half_open_logins_from_one_address(
    siege: Siege, withstand: Withstand, many_descriptors: None, greeting: bytes
) -> None:
    """From another address a login goes on as before, and a listing too."""
    opened: list[socket.socket] = []

    async def attack() -> None:
        opened.extend(
            [
                await asyncio.to_thread(connect_and_wait, siege.port, greeting=greeting)
                for _ in range(HALF_OPEN)
            ]
        )
        for _ in range(10):
            async with (
                siege.connected(VICTIM, address="127.0.0.2") as connection,
                connection.start_sftp_client() as sftp,
            ):
                await asyncio.wait_for(sftp.listdir("/upload"), 10)

    try:
        assert not withstand(siege, attack, seconds=60, growth_mib=16).is_thrown_out
        # From the attacker's own address the room for strangers is used up.
        assert count_turned_away(opened) > HALF_OPEN // 2
    finally:
        for each in opened:
            each.close()


def count_turned_away(opened: list[socket.socket]) -> int:
    """Return how many of these connections the server has ended."""
    ended = 0
    for each in opened:
        try:
            while received := each.recv(65536):
                assert received
        except BlockingIOError:
            continue
        except ConnectionError:
            pass
        ended += 1
    return ended


@dataclass(frozen=True)
class Try:
    """One request on a connection: who, how, and what is wrong about it."""

    username: str
    method: str
    owner: str = ""
    signer: str = ""
    signed_name: str = ""

    def is_good(self) -> bool:
        """Whether this must log in."""
        return self.method == "signature" and {self.owner, self.signer, self.signed_name} == {
            self.username
        }


def choose_tries(random: Random) -> list[Try]:
    """Return tries of two people with each other's names and keys; the last one is good."""
    names = [HOSTILE, VICTIM]
    methods = ["none", "password", "keyboard-interactive", "question", "signature", "signature"]
    tries = [
        Try(*(random.choice(part) for part in ([*names, "nobody"], methods, names, names, names)))
        for _ in range(random.randint(1, MAX_TRIES - 1))
    ]
    last = random.choice(names)
    return [each for each in tries if not each.is_good()] + [
        Try(last, "signature", last, last, last)
    ]


async def make_try(talk: LoginTalk, each: Try, keys: dict[str, asyncssh.SSHKey]) -> int:
    name = each.username.encode()
    if each.method in {"question", "signature"}:
        request = talk.key_request(name, keys[each.owner], signed=each.method == "signature")
        if each.method == "question":
            return await talk.ask(request)
        signed = talk.key_request(each.signed_name.encode(), keys[each.owner], signed=True)
        return await talk.ask(request + talk.sign(keys[each.signer], signed))
    rest = {"password": b"\0" + string(b"secret"), "keyboard-interactive": string(b"") * 2}
    body = string(each.method.encode()) + rest.get(each.method, b"")
    return await talk.ask(string(name) + string(b"ssh-connection") + body)


@pytest.mark.parametrize("seed", range(12))
def test_two_people_on_one_connection(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey, seed: int
) -> None:
    """Whatever was tried before, the key that signs decides, for the name that it signs."""
    keys = {HOSTILE: apple_key.key, VICTIM: birch_key.key}
    for username in keys:
        server.upload(username, username).touch()
    *bad, last = choose_tries(Random(seed))

    async def work() -> list[str]:
        async with before_login(server.port) as connection:
            talk = LoginTalk(connection)
            for each in bad:
                answer = await make_try(talk, each, keys)
                may_use = each.method == "question" and each.owner == each.username
                assert answer == (MSG_USERAUTH_PK_OK if may_use else MSG_USERAUTH_FAILURE), each
            assert await make_try(talk, last, keys) == MSG_USERAUTH_SUCCESS
            async with connection.start_sftp_client() as sftp:
                return [str(name) for name in await sftp.listdir("/upload")]

    assert asyncio.run(work()) == [last.username]
    (event,) = server.wait_for(EventKind.LOGIN_ACCEPTED)
    assert event.facts["username"] == last.username
