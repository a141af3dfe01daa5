# SPDX-License-Identifier: Apache-2.0
"""The embedded cluster: making it, its configuration, its roles and its database."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import psycopg

from nightdrop.db.embedded_account import Account, acting_as
from nightdrop.db.embedded_binaries import ENVIRONMENT, Binaries
from nightdrop.db.embedded_places import PORT, Places
from nightdrop.db.embedded_refusals import HomeUnusable, OtherMajor, PostgresFailed
from nightdrop.db.roles import ADMIN, DATABASE, database_grants_sql, database_sql, roles_sql

#: Raise it when the roles or the database's grants change: they are then made again.
_ROLES_VERSION: Final = "1"
_LOG_LIMIT_BYTES: Final = 8 * 1024 * 1024

_OWN_SETTINGS: Final = """\
# Nightdrop rewrites nightdrop.conf at every start. Settings below the next line win over it.
include 'nightdrop.conf'
"""

# The log says nothing of what a client sent: an error's text quotes the values of rows. The
# client gets the error all the same.
_SETTINGS: Final = """\
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket_directory}'
unix_socket_permissions = 0700

fsync = on
synchronous_commit = on
full_page_writes = on

max_connections = 100
shared_buffers = 192MB
work_mem = 16MB
maintenance_work_mem = 128MB
effective_cache_size = 1GB
max_wal_size = 4GB
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off

timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_checkpoints = off
"""


def prepare_cluster(places: Places, binaries: Binaries, account: Account) -> None:
    """Make the cluster if there is none, and write its configuration.

    Raises: OtherMajor, PostgresFailed, HomeUnusable.
    """
    try:
        check_major(places, binaries)
        if not places.data.exists():
            _make_cluster(places, binaries, account)
        with acting_as(account):
            _write_settings(places, account)
            _rotate_log(places.log)
    except OSError as error:
        why = error.strerror or str(error)
        raise HomeUnusable(places.data, user=account.name, why=why) from error


def check_major(places: Places, binaries: Binaries) -> None:
    """Raise OtherMajor for data that these programs cannot read."""
    try:
        found = places.data.joinpath("PG_VERSION").read_text("utf-8").strip()
    except FileNotFoundError:
        return
    if found != binaries.major:
        raise OtherMajor(places.data, found=found, wanted=binaries.major)


def has_roles(places: Places) -> bool:
    """Whether `make_roles` was through with this cluster."""
    try:
        return _roles_mark(places).read_text("utf-8") == _ROLES_VERSION
    except (FileNotFoundError, PermissionError):
        return False


def make_roles(places: Places, account: Account) -> None:
    """Make the roles and the database that are missing. A crash half-way is made good."""
    admin = psycopg.connect(
        host=str(places.socket_directory),
        port=PORT,
        user=ADMIN,
        dbname="postgres",
        autocommit=True,
    )
    with admin:
        admin.execute(roles_sql())
        made = admin.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if made.fetchone() is None:
            admin.execute(database_sql())
        admin.execute(database_grants_sql())
    with acting_as(account):
        _replace(_roles_mark(places), _ROLES_VERSION)


def run_program(
    command: list[str], *, step: str, places: Places, account: Account, cwd: Path
) -> None:
    """Run a program of PostgreSQL's as the account, its words going to the log.

    The log is a file and no pipe: the server keeps what it inherits open.

    Raises: PostgresFailed.
    """
    as_account: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_account = {"user": account.uid, "group": account.gid, "extra_groups": []}
    with acting_as(account):
        log = os.open(places.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        done = subprocess.run(  # noqa: S603 our own programs and paths
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            cwd=cwd,
            umask=0o077,
            # A Ctrl-C at the terminal is for whoever asked for the server, not for it.
            start_new_session=True,
            check=False,
            **as_account,
        )
    finally:
        os.close(log)
    if done.returncode != 0:
        raise PostgresFailed(step, log=places.log, reason=last_words(places.log))


def last_words(log: Path) -> str:
    """Return the line of the log's end that says most likely what went wrong."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        lines = file.read().decode("utf-8", "replace").splitlines()
    telling = [line for line in lines if "FATAL" in line or "error:" in line]
    # Without the time and the process that the server puts before it.
    return next(reversed(telling or lines), "").rpartition("] ")[2]


def _make_cluster(places: Places, binaries: Binaries, account: Account) -> None:
    """Make the data directory under another name, so that half of one is never used."""
    new = places.root / "new"
    with acting_as(account):
        shutil.rmtree(new, ignore_errors=True)
    command = [binaries.program("initdb"), f"--pgdata={new}", f"--username={ADMIN}"]
    command += ["--auth=peer", "--encoding=UTF8", "--no-instructions"]
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    run_program(command, step="initdb", places=places, account=account, cwd=places.root)
    with acting_as(account):
        _replace(new / "postgresql.conf", _OWN_SETTINGS)
        _replace(new / "nightdrop.conf", "")
        new.rename(places.data)
        _sync_directory(places.root)


def _write_settings(places: Places, account: Account) -> None:
    settings = _SETTINGS.format(port=PORT, socket_directory=places.socket_directory)
    _replace(places.data / "nightdrop.conf", settings)
    _replace(places.data / "pg_hba.conf", "local all all peer map=nightdrop\n")
    users = dict.fromkeys(("root", account.name))
    identities = "".join(f'nightdrop "{user}" all\n' for user in users)
    _replace(places.data / "pg_ident.conf", identities)


def _rotate_log(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.rename(log.with_name(log.name + ".1"))


def _roles_mark(places: Places) -> Path:
    return places.data / "nightdrop.roles"


def _replace(path: Path, text: str) -> None:
    """Write a whole file or none, and only when it changes: every start comes by here."""
    if path.exists() and path.read_text("utf-8") == text:
        return
    new = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
