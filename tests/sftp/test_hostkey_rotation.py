# SPDX-License-Identifier: Apache-2.0
"""A host key is replaced under clients that learn, clients that pin, and sessions under way."""

import asyncio
import os
import queue
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncssh
import pytest
from asyncssh.constants import MSG_REQUEST_FAILURE, MSG_REQUEST_SUCCESS
from asyncssh.misc import _ACMWrapper

from nightdrop.core.events import EventKind
from nightdrop.core.keys import openssh_line
from nightdrop.sftp import bridge
from nightdrop.sftp.hostkeys import HostKeyRing, HostKeys
from nightdrop.sftp.listener import Listener
from nightdrop.storage.hostkeys import HostKey, HostKeyStore, KeyKind, NoHostKeys
from sftp.harness import (
    PATIENCE_SECONDS,
    ClientKey,
    MakeServer,
    Nightdrop,
    OpenSsh,
)
from sftp.learning import learn_host_keys
from sftp.raw import string

ED25519 = KeyKind.ED25519
PROVE = b"hostkeys-prove-00@openssh.com"


class Keys:
    """The host keys of a server under test, changed as the command line changes them."""

    def __init__(self, directory: Path, noticed: "queue.Queue[HostKeys]") -> None:
        self.store = HostKeyStore(directory)
        self._noticed = noticed

    @property
    def current(self) -> HostKey:
        """The ed25519 key that signs."""
        return self.store.find([ED25519])[0].current

    def rotate(self) -> HostKey:
        """Make the next key, and wait until the server announces it."""
        made = self.store.add_next(ED25519).next
        assert made is not None
        self.wait(lambda keys: made.public.blob in {key.public_data for key in keys.next_keys})
        return made

    def retire(self, key: HostKey) -> None:
        """Let the next key take over, and wait until the server greets with it."""
        following = self.store.retire(key.public.fingerprint).current
        self.wait(lambda keys: following.public.fingerprint in keys.fingerprints())

    def replace(self) -> HostKey:
        """Do both; return the new key."""
        old, new = self.current, self.rotate()
        self.retire(old)
        return new

    def wait(self, is_so: Callable[[HostKeys], bool]) -> None:
        """Wait until the server has keys of which that is so."""
        while not is_so(self._noticed.get(timeout=PATIENCE_SECONDS)):
            pass


@pytest.fixture(autouse=True)
def noticed(monkeypatch: pytest.MonkeyPatch) -> "queue.Queue[HostKeys]":
    """The keys that servers have begun to use; they look for them often."""
    begun: queue.Queue[HostKeys] = queue.Queue()
    use = Listener.use

    def observed(self: Listener, keys: HostKeys) -> None:
        use(self, keys)
        begun.put(keys)

    monkeypatch.setattr(Listener, "use", observed)
    monkeypatch.setattr(bridge, "_HOST_KEYS_SECONDS", 0.05)
    return begun


@pytest.fixture
def keys(noticed: "queue.Queue[HostKeys]", server: Nightdrop) -> Keys:
    """The host keys of the server."""
    return Keys(server.config.hostkeys_dir, noticed)


def known_hosts(path: Path, server: Nightdrop, *keys: HostKey) -> Path:
    """Write a file that knows these keys of the server and no others."""
    path.write_text(
        "".join(f"[127.0.0.1]:{server.port} {openssh_line(key.public)}\n" for key in keys)
    )
    return path


def known_blobs(path: Path) -> set[str]:
    return {line.split()[2] for line in path.read_text().splitlines()}


def blob_of(key: HostKey) -> str:
    return openssh_line(key.public).split()[1]


def sftp(openssh: OpenSsh, known: Path, **options: str) -> "subprocess.CompletedProcess[str]":
    """List the directory with OpenSSH's `sftp`, trusting only what is in the file `known`."""
    given = {"UserKnownHostsFile": str(known), "StrictHostKeyChecking": "yes", **options}
    return subprocess.run(
        ["sftp", "-b", "-", "-P", str(openssh.server.port),
         *(part for name, value in given.items() for part in ("-o", f"{name}={value}")),
         *openssh.options, "applegrove.org@127.0.0.1"],
        input="ls\n", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def visit(
    server: Nightdrop, key: ClientKey, *, rekey_bytes: int = 1 << 30
) -> _ACMWrapper[asyncssh.SSHClientConnection]:
    """Connect with a client that uses ed25519 host keys only."""
    return asyncssh.connect(
        "127.0.0.1", server.port, username="applegrove.org", client_keys=[key.key],
        server_host_key_algs=["ssh-ed25519"], known_hosts=None, config=None, agent_path=None,
        rekey_bytes=rekey_bytes,
    )  # fmt: skip


async def meet(server: Nightdrop, key: ClientKey) -> bytes:
    """Return the host key that greets a client."""
    async with visit(server, key) as connection:
        return met(connection)


def met(connection: asyncssh.SSHClientConnection) -> bytes:
    key = connection.get_server_host_key()
    assert key is not None
    return key.public_data


# OpenSSH.


def test_openssh_learns_the_next_key_and_notices_nothing_when_it_signs(
    server: Nightdrop, openssh: OpenSsh, keys: Keys, tmp_path: Path
) -> None:
    old = keys.current
    rsa = keys.store.find([KeyKind.RSA])[0].current
    known = known_hosts(tmp_path / "known_hosts", server, old)
    new = keys.rotate()
    learn_host_keys(openssh, known, port=server.port)
    assert known_blobs(known) == {blob_of(old), blob_of(new), blob_of(rsa)}
    keys.retire(old)
    done = sftp(openssh, known, UpdateHostKeys="no")
    assert (done.returncode, done.stderr) == (0, "")
    learn_host_keys(openssh, known, port=server.port)
    assert known_blobs(known) == {blob_of(new), blob_of(rsa)}


def test_what_a_client_learned_is_an_event(
    server: Nightdrop, openssh: OpenSsh, keys: Keys, tmp_path: Path, apple_key: ClientKey
) -> None:
    new = keys.rotate()
    known = known_hosts(tmp_path / "known_hosts", server, keys.current)
    for _ in range(2):
        learn_host_keys(openssh, known, port=server.port)
    server.wait_for(EventKind.DISCONNECTED, count=2)
    (event,) = server.of_kind(EventKind.HOST_KEY_LEARNED)
    rsa = keys.store.find([KeyKind.RSA])[0].current
    assert event.district == server.accounts["applegrove.org"].district
    assert event.session == server.of_kind(EventKind.LOGIN_ACCEPTED)[0].session
    facts = event.facts
    assert facts["username"] == "applegrove.org"
    assert facts["fingerprint"] == apple_key.key.get_fingerprint()
    assert str(facts["client"]).startswith("SSH-2.0-OpenSSH")
    learned = facts["host_keys"]
    assert isinstance(learned, list)
    assert set(map(str, learned)) == {new.public.fingerprint, rsa.public.fingerprint}


def test_a_connection_is_given_proofs_once_and_of_our_own_keys_alone(
    server: Nightdrop, keys: Keys, apple_key: ClientKey
) -> None:
    own, strange = keys.current.public.blob, apple_key.key.public_data

    async def ask(*blobs: bytes, times: int) -> list[int]:
        async with visit(server, apple_key) as connection:
            asked = b"".join(map(string, blobs))
            return [(await connection._make_global_request(PROVE, asked))[0] for _ in range(times)]

    assert asyncio.run(ask(own, times=2)) == [MSG_REQUEST_SUCCESS, MSG_REQUEST_FAILURE]
    assert asyncio.run(ask(own, strange, times=1)) == [MSG_REQUEST_FAILURE]
    server.wait_for(EventKind.DISCONNECTED, count=2)
    (event,) = server.of_kind(EventKind.HOST_KEY_LEARNED)
    assert event.facts["host_keys"] == [keys.current.public.fingerprint]


def test_openssh_that_only_knows_the_old_key_refuses_by_itself(
    server: Nightdrop, openssh: OpenSsh, keys: Keys, tmp_path: Path
) -> None:
    old = keys.current
    known = known_hosts(tmp_path / "known_hosts", server, old)
    keys.rotate()
    assert sftp(openssh, known, UpdateHostKeys="no").returncode == 0
    keys.retire(old)
    done = sftp(openssh, known, UpdateHostKeys="no")
    assert done.returncode != 0
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr
    assert "Host key verification failed" in done.stderr


def test_who_uses_a_key_of_another_kind_is_not_concerned(
    server: Nightdrop, openssh: OpenSsh, keys: Keys, tmp_path: Path
) -> None:
    rsa = keys.store.find([KeyKind.RSA])[0].current
    known = known_hosts(tmp_path / "known_hosts", server, rsa)
    keys.replace()
    done = sftp(openssh, known, UpdateHostKeys="no")
    assert (done.returncode, done.stderr) == (0, "")


# PuTTY, which pins.


@pytest.mark.skipif(not shutil.which("psftp"), reason="putty-tools are not installed")
def test_psftp_takes_the_key_that_it_was_told_and_no_other(
    server: Nightdrop, keys: Keys, apple_key: ClientKey, tmp_path: Path
) -> None:
    ppk, commands = tmp_path / "key.ppk", tmp_path / "commands"
    commands.write_text("ls\nquit\n")
    subprocess.run(
        ["puttygen", str(apple_key.path), "-o", str(ppk), "-O", "private"],
        check=True, capture_output=True,
    )  # fmt: skip

    def psftp(*pinned: HostKey) -> bool:
        done = subprocess.run(
            ["psftp", "-batch", "-P", str(server.port), "-i", str(ppk), "-b", str(commands),
             *(part for key in pinned for part in ("-hostkey", key.public.fingerprint)),
             "applegrove.org@127.0.0.1"],
            capture_output=True, text=True, check=False, timeout=60,
            env=os.environ | {"HOME": str(tmp_path)},
        )  # fmt: skip
        return done.returncode == 0 and "upload-processed" in done.stdout

    old = keys.current
    new = keys.rotate()
    assert [psftp(old), psftp(new), psftp(old, new)] == [True, False, True]
    keys.retire(old)
    assert [psftp(old), psftp(new), psftp(old, new)] == [False, True, True]


# The server.


def test_a_session_under_way_goes_on_with_the_key_it_began_with(
    server: Nightdrop, keys: Keys, apple_key: ClientKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = keys.current
    validate = asyncssh.SSHClientConnection.validate_server_host_key
    shown: list[bytes] = []

    def observed(self: asyncssh.SSHClientConnection, key_data: bytes) -> asyncssh.SSHKey:
        shown.append(key_data)
        return validate(self, key_data)

    monkeypatch.setattr(asyncssh.SSHClientConnection, "validate_server_host_key", observed)

    async def work() -> None:
        async with visit(server, apple_key, rekey_bytes=100_000) as connection:
            sftp = await connection.start_sftp_client()
            new = await asyncio.to_thread(keys.replace)
            async with sftp.open("/upload/students.csv", "wb") as file:
                for _ in range(20):
                    await file.write(bytes(30_000))
            exchanges = len(shown)
            assert await meet(server, apple_key) == new.public.blob
            assert exchanges > 3
            assert set(shown[:exchanges]) == {old.public.blob}

    asyncio.run(work())


def test_nobody_is_refused_while_keys_come_and_go(
    server: Nightdrop, keys: Keys, apple_key: ClientKey
) -> None:
    async def come_and_go(changed: asyncio.Event) -> int:
        visits = 0
        while not changed.is_set():
            async with visit(server, apple_key) as connection:
                sftp = await connection.start_sftp_client()
                assert await sftp.exists("/upload")
            visits += 1
        return visits

    async def work() -> None:
        changed = asyncio.Event()
        visitors = [asyncio.create_task(come_and_go(changed)) for _ in range(3)]
        for _ in range(4):
            await asyncio.to_thread(keys.replace)
        changed.set()
        assert min(await asyncio.gather(*visitors)) >= 1

    asyncio.run(work())
    assert len(keys.store.retired()) == 4


def test_the_server_makes_the_change_when_the_day_has_come(server: Nightdrop, keys: Keys) -> None:
    old = keys.current
    new = keys.rotate()
    keys.store.plan(old.public.fingerprint, on=datetime.now(UTC).date())
    keys.wait(lambda found: new.public.fingerprint in found.fingerprints())
    assert keys.current.public == new.public
    assert [key.public for key in keys.store.retired()] == [old.public]


def test_a_key_that_is_brought_along_is_used_at_once(
    server: Nightdrop, keys: Keys, apple_key: ClientKey, tmp_path: Path
) -> None:
    brought = asyncssh.generate_private_key("ssh-ed25519")
    brought.write_private_key(tmp_path / "ssh_host_ed25519_key")
    (tmp_path / "ssh_host_ed25519_key").rename(server.config.hostkeys_dir / "ed25519")
    keys.wait(lambda found: brought.get_fingerprint() in found.fingerprints())
    assert asyncio.run(meet(server, apple_key)) == brought.public_data
    assert keys.current.public.blob == brought.public_data


def test_another_node_notices_too(
    make_server: MakeServer, server: Nightdrop, keys: Keys, apple_key: ClientKey, tmp_path: Path
) -> None:
    node = make_server(home=tmp_path / "node", tree=server.config.tree)
    node.accounts.update(server.accounts)
    node.know()
    new = keys.replace()
    assert keys.current.public == new.public
    deadline = time.monotonic() + PATIENCE_SECONDS
    for each in (server, node):
        while asyncio.run(meet(each, apple_key)) != new.public.blob:
            assert time.monotonic() < deadline


def test_the_server_goes_on_while_the_keys_cannot_be_read(
    server: Nightdrop,
    keys: Keys,
    apple_key: ClientKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory, away = server.config.hostkeys_dir, tmp_path / "away"
    old = keys.current
    failures: queue.Queue[str] = queue.Queue()
    look = HostKeyRing.look

    def observed(self: HostKeyRing, *, now: datetime) -> HostKeys | None:
        try:
            return look(self, now=now)
        except NoHostKeys as refusal:
            failures.put(refusal.code)
            raise

    monkeypatch.setattr(HostKeyRing, "look", observed)
    directory.rename(away)
    directory.mkdir()
    for _ in range(2):
        assert failures.get(timeout=PATIENCE_SECONDS) == "no-host-keys"
    assert asyncio.run(meet(server, apple_key)) == old.public.blob
    shutil.rmtree(directory)
    away.rename(directory)
    keys.rotate()
    assert asyncio.run(meet(server, apple_key)) == old.public.blob
