# SPDX-License-Identifier: Apache-2.0
"""Our server on a free port of 127.0.0.1, in a thread of the test, and ways to reach it.

What comes from the database elsewhere comes from the test here: `Nightdrop.know` feeds key
snapshots, and shipped events are kept in `Nightdrop.events`.
"""

import asyncio
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncssh
import uvloop
from asyncssh.misc import _ACMWrapper

from nightdrop.cli.listening import bind_ports
from nightdrop.config import Config
from nightdrop.core.accounts import Account, AccountKey, Snapshot
from nightdrop.core.events import Event, EventKind
from nightdrop.sftp.hostkeys import load_host_keys
from nightdrop.sftp.server import Server
from nightdrop.storage.journal import Journal
from nightdrop.storage.ledger import Ledger
from nightdrop.storage.tree import Tree

#: How long a test waits for what should take milliseconds.
PATIENCE_SECONDS = 10.0
EPOCH = "20261123-021407"


@dataclass(frozen=True)
class ClientKey:
    """A key pair of a client, and its private half in a file."""

    key: asyncssh.SSHKey
    path: Path

    def installed(self) -> AccountKey:
        """Return the key as an account has it."""
        return AccountKey(
            fingerprint=self.key.get_fingerprint(), blob=self.key.public_data, label="test"
        )


@dataclass
class Nightdrop:
    """A server under test."""

    config: Config
    tree: Tree
    accounts: dict[str, Account] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    port: int = 0
    #: All ports, by the settings that name them.
    ports: dict[str, int] = field(default_factory=dict)
    grace_seconds: float = 0.0
    patience_seconds: float = PATIENCE_SECONDS

    def __post_init__(self) -> None:
        self._feed: queue.Queue[Snapshot] = queue.Queue()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None
        self._fault: BaseException | None = None

    # Accounts.

    def add(self, username: str, *keys: ClientKey) -> UUID:
        """Make a district whose account these keys open."""
        district = uuid4()
        self.tree.add_district(district)
        self.accounts[username] = Account(
            district, username, keys=tuple(key.installed() for key in keys)
        )
        self.know()
        return district

    def know(self, *, taken_at: datetime | None = None) -> None:
        """Feed the accounts, as they are now, to the server; return when it has them."""
        taken_at = taken_at or datetime.now(UTC)
        self._feed.put(Snapshot.of(*self.accounts.values(), taken_at=taken_at))
        if self._thread is not None:
            self._feed.join()

    def change(self, username: str, **changes: object) -> None:
        """Change an account and feed that."""
        self.accounts[username] = replace(self.accounts[username], **changes)  # type: ignore[arg-type]
        self.know()

    def restrict(self, username: str, **changes: object) -> None:
        """Change an account's first key and feed that."""
        first, *rest = self.accounts[username].keys
        self.change(username, keys=(replace(first, **changes), *rest))  # type: ignore[arg-type]

    def host_keys(self) -> tuple[asyncssh.SSHKey, ...]:
        """Return the server's host keys."""
        return load_host_keys(self.config.hostkeys_dir).keys

    def upload(self, username: str, *parts: str) -> Path:
        """Return where a path below /upload of an account is on disk."""
        district = self.accounts[username].district
        return self.config.tree.joinpath(str(district), "upload", *parts)

    # Events.

    def ship(self, batch: Sequence[Event]) -> None:
        """Take events over, as the database does."""
        with self._changed:
            self.events.extend(batch)
            self._changed.notify_all()

    def of_kind(self, kind: EventKind) -> list[Event]:
        """Return the events of a kind that were shipped so far."""
        return [event for event in self.events if event.kind is kind]

    def wait_for(self, kind: EventKind, *, count: int = 1) -> list[Event]:
        """Wait until `count` events of a kind were shipped, and return them."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: len(self.of_kind(kind)) >= count, PATIENCE_SECONDS
            )
            assert arrived, f"no {kind} among {[str(event.kind) for event in self.events]}"
            return self.of_kind(kind)

    # Running.

    def start(self) -> None:
        """Start the server in a thread, and wait until it listens."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="server")
        self._thread.start()
        assert ready.wait(PATIENCE_SECONDS)
        if self._fault is not None:
            self._thread.join()
            raise self._fault

    def stop(self) -> None:
        """Stop the server, and wait until it has."""
        if self._thread is not None:
            self._stop()
            self._thread.join()
            self._thread = None

    def _run(self, ready: threading.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve(ready))
        except BaseException as fault:  # noqa: BLE001 - the test's own thread raises it
            self._fault = fault
        finally:
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopping.set)
        journal = await asyncio.to_thread(Journal, self.config.journal_dir)
        ledger = await asyncio.to_thread(Ledger.join, self.config.ledger_file)
        server = Server(self.config, tree=self.tree, journal=journal, ledger=ledger)
        listeners = bind_ports(self.config, ["sftp"])
        if legacy := listeners.get("sftp_legacy_port"):
            self.legacy_port = int(legacy.getsockname()[1])
        self.port = await server.start(
            listeners=listeners,
            watch=self._watch,
            ship=self.ship,
            patience_seconds=self.patience_seconds,
        )
        self.ports = dict(server.ports)
        ready.set()
        await stopping.wait()
        await server.stop(grace_seconds=self.grace_seconds)

    def _watch(self, stop: threading.Event) -> Iterator[Snapshot]:
        while not stop.is_set():
            try:
                snapshot = self._feed.get(timeout=0.02)
            except queue.Empty:
                continue
            yield snapshot
            self._feed.task_done()


MakeServer = Callable[..., Nightdrop]
MakeKey = Callable[[str], ClientKey]


@dataclass(frozen=True)
class OpenSsh:
    """OpenSSH's `sftp` and `ssh` with a key, kept from the tester's own files."""

    server: Nightdrop
    key: ClientKey
    username: str = "applegrove.org"

    @property
    def options(self) -> list[str]:
        """The options that all of OpenSSH's programs understand."""
        return [
            "-F", "/dev/null", "-i", str(self.key.path), "-o", "IdentitiesOnly=yes",
            "-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
        ]  # fmt: skip

    def sftp(self, *commands: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a batch of commands; one that begins with ``-`` may fail."""
        done = subprocess.run(
            ["sftp", "-b", "-", "-P", str(self.server.port), *self.options,
             f"{self.username}@127.0.0.1"],
            input="\n".join(commands) + "\n", capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def ssh(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `ssh`, whose options may come first among the arguments."""
        return subprocess.run(
            ["ssh", "-p", str(self.server.port), *self.options, *arguments],
            capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def connect(
    server: Nightdrop, key: ClientKey, *, username: str = "applegrove.org"
) -> _ACMWrapper[asyncssh.SSHClientConnection]:
    """Connect with asyncssh: to be awaited, or entered."""
    return asyncssh.connect(
        "127.0.0.1", server.port, username=username, client_keys=[key.key], known_hosts=None,
        config=None, agent_path=None,
    )  # fmt: skip


async def read(file: "asyncssh.SFTPClientFile") -> bytes:
    """Read a file that was opened for bytes; asyncssh's types promise text."""
    content: object = await file.read()
    assert isinstance(content, bytes)
    return content


async def touch(sftp: asyncssh.SFTPClient, path: str) -> None:
    """Make an empty file, and close it."""
    async with sftp.open(path, "wb"):
        pass
