# SPDX-License-Identifier: Apache-2.0
"""The key that signs is the key that counts, for the user name that it signed for."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncssh
import paramiko
import pytest
from asyncssh.auth import MSG_USERAUTH_PK_OK, _ClientPublicKeyAuth

from nightdrop.core.accounts import LoginFault
from nightdrop.core.events import EventKind
from sftp.harness import ClientKey, MakeKey, MakeServer, Nightdrop, connect

#: Changes what asyncssh's client is about to sign, after the server has said yes to a key.
Twist = Callable[[Any], None]
Deceive = Callable[[Twist], None]


@pytest.fixture
def deceive(monkeypatch: pytest.MonkeyPatch) -> Deceive:
    """Return what makes asyncssh's client sign something other than what it has asked about."""

    def install(twist: Twist) -> None:
        def answer(auth: Any, _kind: int, _number: int, _packet: object) -> None:  # noqa: ANN401
            twist(auth)
            auth.create_task(auth._send_signed_request())

        handlers = dict(_ClientPublicKeyAuth._packet_handlers)
        handlers[MSG_USERAUTH_PK_OK] = answer
        monkeypatch.setattr(_ClientPublicKeyAuth, "_packet_handlers", handlers)

    return install


def sign_with(key: ClientKey, *, username: str | None = None) -> Twist:
    def twist(auth: Any) -> None:  # noqa: ANN401
        auth._keypair = asyncssh.load_keypairs([key.key])[0]
        if username is not None:
            auth._conn._username = username

    return twist


def names_in_upload(server: Nightdrop, key: ClientKey, *, username: str) -> list[str]:
    async def work() -> list[str]:
        async with (
            connect(server, key, username=username) as connection,
            connection.start_sftp_client() as sftp,
        ):
            return [str(name) for name in await sftp.listdir("/upload")]

    return asyncio.run(work())


def test_offering_a_good_key_does_not_help_a_bad_one(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey, deceive: Deceive
) -> None:
    deceive(sign_with(birch_key))
    with pytest.raises(asyncssh.PermissionDenied):
        names_in_upload(server, apple_key, username="applegrove.org")
    (event,) = server.wait_for(EventKind.LOGIN_REFUSED)
    assert event.facts["reason"] == LoginFault.UNKNOWN_KEY
    assert event.facts["fingerprint"] == birch_key.key.get_fingerprint()


def test_a_session_belongs_to_the_key_that_signed(
    server: Nightdrop, apple_key: ClientKey, make_key: MakeKey, deceive: Deceive
) -> None:
    second = make_key("ssh-ed25519")
    server.change("applegrove.org", keys=(apple_key.installed(), second.installed()))
    deceive(sign_with(second))
    names_in_upload(server, apple_key, username="applegrove.org")
    (event,) = server.wait_for(EventKind.LOGIN_ACCEPTED)
    assert event.facts["fingerprint"] == second.key.get_fingerprint()


def test_a_key_accepted_for_one_user_does_not_sign_for_another(
    server: Nightdrop, apple_key: ClientKey, deceive: Deceive
) -> None:
    deceive(sign_with(apple_key, username="birchhill.org"))
    with pytest.raises(asyncssh.PermissionDenied):
        names_in_upload(server, apple_key, username="applegrove.org")


def test_a_session_belongs_to_the_user_who_signed(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey, deceive: Deceive
) -> None:
    server.upload("applegrove.org", "apples").touch()
    server.upload("birchhill.org", "birches").touch()
    deceive(sign_with(birch_key, username="birchhill.org"))
    assert names_in_upload(server, apple_key, username="applegrove.org") == ["birches"]
    (event,) = server.wait_for(EventKind.LOGIN_ACCEPTED)
    assert event.facts["username"] == "birchhill.org"


@contextmanager
def transport(server: Nightdrop) -> Iterator[paramiko.Transport]:
    """Connect with paramiko, which logs in as whom it is told, as often as it is told."""
    made = paramiko.Transport(("127.0.0.1", server.port))
    try:
        made.start_client(timeout=10)
        yield made
    finally:
        made.close()


def test_two_users_alternate_on_one_connection(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey
) -> None:
    server.upload("birchhill.org", "birches").touch()
    apple = paramiko.Ed25519Key.from_private_key_file(str(apple_key.path))
    birch = paramiko.Ed25519Key.from_private_key_file(str(birch_key.path))
    with transport(server) as client:
        for username, key in (("applegrove.org", birch), ("birchhill.org", apple)) * 2:
            with pytest.raises(paramiko.AuthenticationException):
                client.auth_publickey(username, key)
        client.auth_publickey("birchhill.org", birch)
        sftp = paramiko.SFTPClient.from_transport(client)
        assert sftp is not None
        with sftp:
            assert sftp.listdir("/upload") == ["birches"]


def test_a_wrong_signature_is_refused(
    server: Nightdrop, apple_key: ClientKey, birch_key: ClientKey, deceive: Deceive
) -> None:
    class Forged(asyncssh.SSHKeyPair):
        """Claims the one key and signs with the other."""

        def __init__(self) -> None:
            (own,) = asyncssh.load_keypairs([birch_key.key])
            (claimed,) = asyncssh.load_keypairs([apple_key.key])
            super().__init__(
                claimed.algorithm, claimed.sig_algorithm, (), (), claimed.public_data, None
            )
            self._own = own

        def sign(self, data: bytes) -> bytes:
            return bytes(self._own.sign(data))

    def twist(auth: Any) -> None:  # noqa: ANN401
        auth._keypair = Forged()

    deceive(twist)
    with pytest.raises(asyncssh.PermissionDenied):
        names_in_upload(server, apple_key, username="applegrove.org")
    (event,) = server.wait_for(EventKind.LOGIN_REFUSED)
    assert event.facts["reason"] == LoginFault.BAD_SIGNATURE


def test_a_sha1_signature_is_refused(
    make_server: MakeServer, make_key: MakeKey, deceive: Deceive
) -> None:
    server, key = make_server(), make_key("ssh-rsa")
    server.add("applegrove.org", key)

    def twist(auth: Any) -> None:  # noqa: ANN401
        auth._keypair.set_sig_algorithm(b"ssh-rsa")

    deceive(twist)
    with pytest.raises(asyncssh.PermissionDenied):
        names_in_upload(server, key, username="applegrove.org")
    (event,) = server.wait_for(EventKind.LOGIN_REFUSED)
    assert event.facts["reason"] == LoginFault.WEAK_SIGNATURE
