# SPDX-License-Identifier: Apache-2.0
"""Small real parts for tests of `serve`, and a program that serves them.

``python tiny_parts.py JSON`` runs `run_serve` with the options in JSON: how the worker
behaves, how the database is prepared, and as which user everything is started. Each part
tells who connects what process it is; `sftp` has as many processes as the settings say.
"""

import json
import os
import pwd
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import structlog
from django.db.utils import OperationalError

from nightdrop.cli.errors import explain
from nightdrop.cli.listening import Listeners
from nightdrop.cli.logs import configure_logging
from nightdrop.cli.migrate import DatabaseNotPrepared
from nightdrop.cli.part_process import keep_buffers
from nightdrop.cli.serve import PARTS, run_serve
from nightdrop.cli.supervisor import Backoff
from nightdrop.config import Config, load_config
from nightdrop.core.errors import Refusal
from nightdrop.db.embedded import connection_params
from nightdrop.db.roles import Role

Announce = Callable[[str, int], None]

OPTIONS: dict[str, Any] = {}


def preload_sftp() -> None:
    """Have all that is needed."""


preload_web = preload_worker = preload_sftp


def run_sftp(config: Config, *, listeners: Listeners, announce: Announce) -> int:
    """Greet as an SSH server does, and tell who this is."""
    if OPTIONS.get("sftp") == "refuses":
        sys.stderr.write("nightdrop: sftp has no keys\n")
        return 1
    if OPTIONS.get("sftp") == "lingers":
        signal.signal(signal.SIGTERM, lambda *_: _linger(listeners["sftp_port"]))
    return _greet(listeners["sftp_port"], "sftp", b"SSH-2.0-%b\r\n", announce)


def run_web(config: Config, *, listeners: Listeners, announce: Announce) -> int:
    """Answer anything with a page that tells who this is."""
    return _greet(listeners["web_port"], "web", b"HTTP/1.0 200 OK\r\n\r\n%b\n", announce)


def run_worker(config: Config, *, announce: Announce) -> int:
    """Behave as the options say."""
    announce("worker", 0)
    match OPTIONS.get("worker", "waits"):
        case "ends":
            return 0
        case "crashes":
            raise ValueError("the words of Wilhelmina")
        case "refuses later":
            return 1
        case "is stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            announce("stubborn", 0)
    beat(config)
    while True:
        signal.pause()


def beat(config: Config) -> None:
    """Write a sign of life, if there is a table for it."""
    if OPTIONS.get("database") == "is made":
        with psycopg.connect(connection_params(config, Role.OWNER).conninfo()) as owner:
            owner.execute("INSERT INTO procrastinate_workers VALUES (now())")


def _linger(listener: socket.socket) -> None:
    """Take no more connections, and do not end."""
    listener.close()
    structlog.get_logger().info("lingering")
    while True:
        signal.pause()


def _greet(listener: socket.socket, name: str, greeting: bytes, announce: Announce) -> int:
    # As the real parts do it: all that wait are woken, and the first one gets it.
    listener.setblocking(False)  # noqa: FBT003 - theirs
    announce(name, listener.getsockname()[1])
    while True:
        select.select([listener], [], [])
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            continue
        with connection:
            connection.sendall(greeting % json.dumps(_who_am_i()).encode())


def _who_am_i() -> dict[str, Any]:
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    comm = Path("/proc/self/comm").read_text().strip()
    return {
        "pid": os.getpid(),
        "name": comm,
        "ids": [*os.getresuid(), *os.getresgid()],
        "status": status,
    }


def _prepare_database(config: Config) -> None:
    match OPTIONS.get("database", "is there"):
        case "is refused":
            raise DatabaseNotPrepared
        case "is away":
            raise OperationalError("no route to host")
        case "is made":
            params = connection_params(config, Role.OWNER)
            with psycopg.connect(params.conninfo()) as owner:
                owner.execute("CREATE TABLE procrastinate_workers (last_heartbeat timestamptz)")
                owner.execute(f"GRANT ALL ON procrastinate_workers TO {Role.APP}".encode())
                owner.execute(
                    "CREATE FUNCTION nightdrop_key_snapshot() RETURNS TABLE (district uuid,"
                    " quota_bytes bigint, quota_files bigint) LANGUAGE sql"
                    " AS 'SELECT NULL::uuid, NULL::bigint, NULL::bigint WHERE false'"
                )


def main(options: dict[str, Any]) -> int:
    """Serve the tiny parts until a signal comes."""
    OPTIONS.update(options)
    here = Path(__file__).stem
    sys.modules[here] = sys.modules["__main__"]
    if "user" in options:
        user = pwd.getpwnam(options["user"])
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    config = load_config()
    configure_logging(config, "serve")
    names = options.get("parts", ("sftp", "web", "worker"))
    parts = [replace(PARTS[name], module=here, set_up=keep_buffers) for name in names]
    try:
        return run_serve(
            config,
            parts=parts,
            prepare_database=_prepare_database,
            backoff=Backoff(first_seconds=0.02, most_seconds=0.08),
            grace_seconds=options.get("grace_seconds", 30),
        )
    except Refusal as refusal:
        sys.stderr.write(f"nightdrop: {refusal.code}: {explain(refusal)}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
