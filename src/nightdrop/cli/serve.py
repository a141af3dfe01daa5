# SPDX-License-Identifier: Apache-2.0
"""`nightdrop serve`: everything on this machine, started, watched and stopped.

1. Make HOME, the tree and the secret key; take the locks that keep a second start out.
2. Take the ports, which may need root's rights.
3. Start the embedded PostgreSQL, or see that the database of one's own is there.
4. Bring the database to this version.
5. Import all parts, then fork each and give up root's rights in it.
6. Start again whatever ends, PostgreSQL too, until a signal comes.

`nightdrop sftp` and its like do the same with one part.
"""

import fcntl
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

import structlog
from django.conf import settings
from django.db.utils import OperationalError

from nightdrop.cli.errors import explain
from nightdrop.cli.listening import Listeners, bind_ports, close_ports, open_ports
from nightdrop.cli.logs import writes_text
from nightdrop.cli.migrate import ensure_migrated, run_migrate
from nightdrop.cli.part_process import REFUSED, Part, fork_child, keep_buffers
from nightdrop.cli.privileges import prepare_places
from nightdrop.cli.supervisor import GRACE_SECONDS, Backoff, Signals, Supervisor
from nightdrop.config import Config, read_secret_key
from nightdrop.core.errors import Refusal
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.embedded_account import Account, acting_as

_log = structlog.get_logger()

#: Every part, in the order in which they are started.
PARTS: Final[Mapping[str, Part]] = {
    "sftp": Part(
        name="sftp",
        module="nightdrop.sftp.main",
        set_up=keep_buffers,
        count=lambda config: config.sftp_workers,
    ),
    "web": Part(name="web", module="nightdrop.web.main"),
    "worker": Part(name="worker", module="nightdrop.jobs.main", is_single=False),
}

#: How the preparing process ends when the database does not answer.
_AWAY: Final = 75


class AlreadyServing(Refusal):
    """The part runs in this home already, alone or together with others."""

    code: ClassVar[str] = "already-serving"

    def __init__(self, part: str, *, home: str) -> None:
        super().__init__(part, home)
        self.part = part
        self.home = home


def bring_up_to_date(config: Config) -> None:
    """Migrate with the owner's role where it is at hand; else see that somebody did.

    Raises: DatabaseNotPrepared, OperationalError.
    """
    if config.is_embedded or config.database_owner_url is not None:
        run_migrate(config)
    else:
        ensure_migrated(config)


def run_serve(
    config: Config,
    *,
    parts: Sequence[Part] = tuple(PARTS.values()),
    prepare_database: Callable[[Config], None] = bring_up_to_date,
    backoff: Backoff = Backoff(),
    grace_seconds: float = GRACE_SECONDS,
) -> int:
    """Run everything until SIGTERM or SIGINT; a second one ends the parts at once.

    `prepare_database` runs in a process of its own before any part does; a refusal there is
    the end. What the parts listen on is in HOME/run/ports.json while they do.

    Returns: 0, or 1 when a part or the database refused to start and has said why.
    Raises:  AlreadyServing, PortTaken, PortClosed, DatabaseRefused in one of its kinds.
    """
    with _started(config, parts) as start:
        if not _prepare(prepare_database, start):
            return REFUSED
        ports = Ports(config, start.account)
        keeper = PostgresKeeper(start, backoff=backoff)
        try:
            return _supervise(
                start, on_port=ports.set, on_tick=keeper.look, backoff=backoff,
                grace_seconds=grace_seconds,
            )  # fmt: skip
        finally:
            ports.remove()
            keeper.end()


def run_alone(config: Config, name: str) -> int:
    """Run the processes of one part: ``nightdrop sftp``.

    PostgreSQL is not started again when it dies, and no file tells the port: both are the
    business of one `serve`, and there may be several parts that run alone.

    Returns: 0, or 1 when the part or the database refused to start and has said why.
    Raises:  as `run_serve`.
    """
    with _started(config, [PARTS[name]]) as start:
        if config.is_embedded and not _prepare(bring_up_to_date, start):
            return REFUSED
        return _supervise(start, on_port=partial(_say_port, config), on_tick=lambda: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What a start has in hand before any part runs."""

    config: Config
    parts: Sequence[Part]
    account: Account
    signals: Signals
    listeners: Listeners
    server: EmbeddedPostgres | None
    locks: Sequence[int]

    @property
    def private(self) -> tuple[int, ...]:
        """The descriptors that no child may keep open which is no part."""
        sockets = (listener.fileno() for listener in self.listeners.values())
        return (*self.locks, *self.signals.descriptors, *sockets)


@contextmanager
def _started(config: Config, parts: Sequence[Part]) -> Iterator[_Start]:
    account = prepare_places(config)
    _use_secret_key(config)
    with ExitStack() as stack:
        signals = stack.enter_context(Signals().installed())
        locks = [
            stack.enter_context(_locked(config, account, part.name))
            for part in parts
            if part.is_single
        ]
        listeners = bind_ports(config, [part.name for part in parts])
        stack.callback(close_ports, listeners)
        yield _Start(
            config=config,
            parts=parts,
            account=account,
            signals=signals,
            listeners=listeners,
            server=stack.enter_context(_database(config)),
            locks=locks,
        )


def _supervise(
    start: _Start,
    *,
    on_port: Callable[[str, int], None],
    on_tick: Callable[[], None],
    backoff: Backoff = Backoff(),
    grace_seconds: float = GRACE_SECONDS,
) -> int:
    for part in start.parts:
        part.preload()
    # What is there now is there for good; a collection would copy it into every child.
    gc.freeze()
    open_ports(start.config, start.listeners)
    return Supervisor(
        start.parts,
        config=start.config,
        account=start.account,
        signals=start.signals,
        listeners=start.listeners,
        on_port=on_port,
        on_tick=on_tick,
        private=start.locks,
        backoff=backoff,
        grace_seconds=grace_seconds,
    ).run()


class Ports:
    """The ports that parts listen on, told on standard error and in HOME/run/ports.json."""

    def __init__(self, config: Config, account: Account) -> None:
        self._config: Final = config
        self._account: Final = account
        self._ports: Final[dict[str, int]] = {}
        self.remove()

    def set(self, name: str, port: int) -> None:
        """Take down where a part listens now."""
        self._ports[name] = port
        new = self._config.ports_file.with_suffix(".new")
        with acting_as(self._account):
            new.write_text(json.dumps(self._ports) + "\n", encoding="utf-8")
            new.chmod(0o644)
            new.rename(self._config.ports_file)
        _say_port(self._config, name, port)

    def remove(self) -> None:
        """Say that nothing listens."""
        with acting_as(self._account):
            self._config.ports_file.unlink(missing_ok=True)


class PostgresKeeper:
    """Starts the embedded PostgreSQL again when it died: nobody else would.

    A start may take minutes, when much is to be recovered; so it is a child's work.
    """

    def __init__(self, start: _Start, *, backoff: Backoff) -> None:
        self._server: Final = start.server
        self._config: Final = start.config
        self._private: Final = start.private
        self._backoff: Final = backoff
        self._child: int | None = None
        self._wait_seconds = 0.0
        self._due_at = 0.0

    def look(self) -> None:
        """See once whether the server runs, and begin to start it when it does not."""
        if self._child is not None:
            if os.waitpid(self._child, os.WNOHANG)[0] == 0:
                return
            self._child = None
        if self._server is None or self._server.is_running():
            self._wait_seconds = 0.0
        elif time.monotonic() >= self._due_at:
            _log.warning("postgres-ended")
            # The first start is at once; each that follows waits longer.
            self._wait_seconds = self._backoff.next_wait(self._wait_seconds, ran_seconds=0)
            self._due_at = time.monotonic() + self._wait_seconds
            self._child = fork_child(
                "postgres", self._start, config=self._config, close=self._private
            )

    def end(self) -> None:
        """Give up a start that is under way."""
        if self._child is not None:
            os.kill(self._child, signal.SIGTERM)
            os.waitpid(self._child, 0)
            self._child = None

    def _start(self) -> int:
        if self._server is None:
            return 0
        try:
            self._server.ensure()
        except Refusal as refusal:
            _log.exception("postgres-start-failed", code=refusal.code)
            return REFUSED
        _log.info("postgres-started")
        return 0


@contextmanager
def _locked(config: Config, account: Account, part: str) -> Iterator[int]:
    """Hold the lock that only one start of a part in this home can have."""
    path = config.ports_file.with_name(f"{part}.lock")
    with acting_as(account):
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyServing(part, home=str(config.home)) from None
        yield lock
    finally:
        os.close(lock)


@contextmanager
def _database(config: Config) -> Iterator[EmbeddedPostgres | None]:
    server = EmbeddedPostgres(config.home) if config.is_embedded else None
    with server.attach() if server else nullcontext():
        yield server


def _prepare(prepare_database: Callable[[Config], None], start: _Start) -> bool:
    """Prepare the database in a child: a connection made here would be every part's.

    It keeps root's rights, if it has them: migrations are read from disk when they run.
    """

    def prepare() -> int:
        try:
            prepare_database(start.config)
        except Refusal as refusal:
            sys.stderr.write(f"nightdrop: {explain(refusal)}\n")
            return REFUSED
        except OperationalError:
            _log.exception("database-away")
            return _AWAY
        return 0

    child = fork_child("migrate", prepare, config=start.config, close=start.private)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    # SFTP works without the database, so one that is elsewhere and away is waited for.
    may_go_on = code == 0 or (code == _AWAY and not start.config.is_embedded)
    return may_go_on or start.signals.stop_requests > 0


def _use_secret_key(config: Config) -> None:
    """Hand the key to Django's settings, which may be older than the key."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nightdrop.site.settings")
    settings.SECRET_KEY = read_secret_key(config)


def _say_port(config: Config, name: str, port: int) -> None:
    if port == 0:
        return
    if writes_text(config):
        sys.stderr.write(f"nightdrop: {name} listens on {_joined(config.bind, port)}\n")
    else:
        _log.info("listens", listener=name, address=config.bind, port=port)


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
