# SPDX-License-Identifier: Apache-2.0
"""`nightdrop serve` as anybody starts it, in a home of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
from bench.processes import families, find_named, memory_kib, started, wait_until

from nightdrop.config import load_config
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.roles import ADMIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running Nightdrop; `sftp_pids` are the processes that clients are connected to."""

    home: Path
    environ: Mapping[str, str]
    port: int
    sftp_pids: tuple[int, ...]

    def run(self, *arguments: str) -> str:
        """Run a command of Nightdrop's that must succeed; return what it printed."""
        return self.run_python("-m", "nightdrop", *arguments)

    def run_python(self, *arguments: str) -> str:
        """Run Python with the settings of this Nightdrop."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        return done.stdout

    def directory(self, district: str) -> Path:
        """Return where a district's files are, by its id."""
        return self.home / "districts" / district

    def sftp_memory_kib(self) -> float:
        """Return the memory of all processes that clients are connected to."""
        return sum(map(memory_kib, families(self.sftp_pids)))

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the database, as its superuser."""
        conninfo = EmbeddedPostgres(self.home).conninfo(ADMIN)
        with psycopg.connect(conninfo) as connection:
            # The statements are this package's own.
            return connection.execute(statement.encode(), parameters).fetchall()


@contextmanager
def running(scratch: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Running]:
    """Run Nightdrop until the block is left; all its SFTP processes listen by then."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTDROP_")}
    wanted = {
        "NIGHTDROP_HOME": str(scratch / "home"),
        "NIGHTDROP_SFTP_PORT": "0",
        "NIGHTDROP_WEB_PORT": "0",
        "NIGHTDROP_PUBLIC_HOST": "localhost",
        **settings,
    }
    config = load_config(wanted)
    environ = own | wanted
    command = [sys.executable, "-m", "nightdrop", "serve"]
    with started(command, scratch / "nightdrop.log", environ=environ) as serve:
        ports = config.ports_file
        wait_until(lambda: ports.exists() and "sftp" in ports.read_text(), what="nightdrop serve")
        port = int(json.loads(ports.read_text())["sftp"])

        def find() -> list[int]:
            return find_named(families([serve]), name="nd-sftp-")

        workers = config.sftp_workers
        wait_until(lambda: len(find()) == workers, what=f"{workers} SFTP processes")
        yield Running(home=config.home, environ=environ, port=port, sftp_pids=tuple(find()))
