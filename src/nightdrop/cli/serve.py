# SPDX-License-Identifier: Apache-2.0
"""`nightdrop serve`: everything on this machine, started, watched and stopped.

1. Make HOME, the tree and the secret key; take the lock that keeps a second `serve` out.
2. Start the embedded PostgreSQL, or see that the database of one's own is there.
3. Bring the database to this version.
4. Import all parts, then fork each and give up root's rights in it.
5. Start again whatever ends, PostgreSQL too, until a signal comes.
"""

import fcntl
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import ClassVar, Final

import structlog
from django.conf import settings
from django.db.utils import OperationalError

from nightdrop.cli.errors import explain
from nightdrop.cli.logs import writes_text
from nightdrop.cli.migrate import ensure_migrated, run_migrate
from nightdrop.cli.part_process import REFUSED, Part, fork_child, keep_buffers
from nightdrop.cli.privileges import drop_privileges, prepare_places
from nightdrop.cli.supervisor import GRACE_SECONDS, Backoff, Signals, Supervisor
from nightdrop.config import Config, read_secret_key
from nightdrop.core.errors import Refusal
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.embedded_account import Account, acting_as

_log = structlog.get_logger()

#: Every part, in the order in which they are started.
PARTS: Final[Mapping[str, Part]] = {
    "sftp": Part(name="sftp", module="nightdrop.sftp.main", set_up=keep_buffers),
    "web": Part(name="web", module="nightdrop.web.main"),
    "worker": Part(name="worker", module="nightdrop.jobs.main"),
}

#: How the preparing process ends when the database does not answer.
_AWAY: Final = 75


class AlreadyServing(Refusal):
    """Another `nightdrop serve` runs in this home."""

    code: ClassVar[str] = "already-serving"

    def __init__(self, home: str) -> None:
        super().__init__(home)
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
    Raises:  AlreadyServing, DatabaseRefused in one of its kinds.
    """
    account = prepare_places(config)
    _use_secret_key(config)
    with (
        Signals().installed() as signals,
        _only_one(config, account) as lock,
        _database(config) as server,
    ):
        private = (lock, *signals.descriptors)
        if not _prepare(prepare_database, config, private=private, signals=signals):
            return REFUSED
        for part in parts:
            part.preload()
        # What is there now is there for good; a collection would copy it into every child.
        gc.freeze()
        ports = Ports(config, account)
        keeper = PostgresKeeper(server, config=config, private=private, backoff=backoff)
        supervisor = Supervisor(
            parts,
            config=config,
            account=account,
            signals=signals,
            on_port=ports.set,
            on_tick=keeper.look,
            private=(lock,),
            backoff=backoff,
            grace_seconds=grace_seconds,
        )
        try:
            return supervisor.run()
        finally:
            ports.remove()
            keeper.end()


def run_alone(config: Config, name: str) -> int:
    """Run one part in this process, with no supervisor: ``nightdrop sftp``.

    Returns: the part's exit status.
    Raises:  DatabaseRefused in one of its kinds.
    """
    part = PARTS[name]
    account = prepare_places(config)
    _use_secret_key(config)
    with _database(config):
        if config.is_embedded and not _prepare(bring_up_to_date, config):
            return REFUSED
        part.preload()
        part.set_up()
        drop_privileges(account, port=part.port(config))
        return part.run(config, lambda name, port: _say_port(config, name, port))


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

    def __init__(
        self,
        server: EmbeddedPostgres | None,
        *,
        config: Config,
        private: Sequence[int],
        backoff: Backoff,
    ) -> None:
        self._server: Final = server
        self._config: Final = config
        self._private: Final = private
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
def _only_one(config: Config, account: Account) -> Iterator[int]:
    path = config.ports_file.with_name("serve.lock")
    with acting_as(account):
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyServing(str(config.home)) from None
        yield lock
    finally:
        os.close(lock)


@contextmanager
def _database(config: Config) -> Iterator[EmbeddedPostgres | None]:
    server = EmbeddedPostgres(config.home) if config.is_embedded else None
    with server.attach() if server else nullcontext():
        yield server


def _prepare(
    prepare_database: Callable[[Config], None],
    config: Config,
    *,
    private: Sequence[int] = (),
    signals: Signals | None = None,
) -> bool:
    """Prepare the database in a child: a connection made here would be every part's.

    It keeps root's rights, if it has them: migrations are read from disk when they run.
    """

    def prepare() -> int:
        try:
            prepare_database(config)
        except Refusal as refusal:
            sys.stderr.write(f"nightdrop: {explain(refusal)}\n")
            return REFUSED
        except OperationalError:
            _log.exception("database-away")
            return _AWAY
        return 0

    child = fork_child("migrate", prepare, config=config, close=private)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    # SFTP works without the database, so one that is elsewhere and away is waited for.
    may_go_on = code == 0 or (code == _AWAY and not config.is_embedded)
    return may_go_on or (signals is not None and signals.stop_requests > 0)


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
