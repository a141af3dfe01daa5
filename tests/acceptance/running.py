# SPDX-License-Identifier: Apache-2.0
"""A Nightdrop that runs as it does for an operator: `serve`, its parts and its PostgreSQL."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, LiteralString, Self

import psycopg

from acceptance.points import HALTED, ORDER, Point
from acceptance.processes import (
    PATIENCE_SECONDS,
    is_gone,
    kill_processes,
    processes_of,
    wait_until,
)
from nightdrop.config import Config, load_config
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.embedded_postmaster import Postmaster, find_postmaster
from nightdrop.db.roles import ADMIN, Role

#: Processes of each part.
SFTP_WORKERS = 2
PROCESSES = {"sftp": SFTP_WORKERS, "worker": 1}
_HERE = Path(__file__).parent


class Console:
    """The commands of `nightdrop`, as an operator types them."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_HERE / "console.py")],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """Run a command that must succeed; return what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        ended = json.loads(self._process.stdout.readline())
        assert ended["status"] == 0, ended
        return str(ended["out"])

    def close(self) -> None:
        """Type no more."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_SECONDS)
        self._process.stdout.close()


@dataclass(slots=True)
class Halted:
    """A part that waits at a point. `fact` is what it said of itself."""

    pid: int
    fact: str
    _connection: socket.socket

    def kill(self) -> None:
        """Kill it where it is, and wait until it is gone."""
        kill_processes(self.pid)
        self._connection.close()

    def let_go(self) -> None:
        """Let it go on."""
        self._connection.close()


class Nightdrop:
    """A running `nightdrop serve` in a home of its own, which may be killed and started again."""

    def __init__(self, *, user: str | None = None) -> None:
        # PostgreSQL runs as a user who must be able to pass through.
        self.directory = Path(tempfile.mkdtemp(prefix="nd-acceptance-"))
        self.directory.chmod(0o777)
        self._user = user
        home = self.directory / "home"
        if user is not None:
            home.mkdir()
            shutil.chown(home, user)
        own = {name: text for name, text in os.environ.items() if "NIGHTDROP_" not in name}
        self._settings = {
            "NIGHTDROP_HOME": str(home),
            "NIGHTDROP_SFTP_PORT": "0",
            "NIGHTDROP_SFTP_WORKERS": str(SFTP_WORKERS),
            "NIGHTDROP_PUBLIC_HOST": "drop.example.org",
            "NIGHTDROP_SEAL_QUIET_SECONDS": "1",
            "NIGHTDROP_SETTLE_SECONDS": "2",
            "NIGHTDROP_SCAN_SECONDS": "1",
            "NIGHTDROP_LOG_FORMAT": "json",
        }
        self.environ = {**own, **self._settings, "PYTHONPATH": str(_HERE.parent)}
        self.config: Config = load_config(self._settings)
        self.postgres = EmbeddedPostgres(home)
        self.key = self.directory / "id_ed25519"
        self.port = 0
        self._log = self.directory / "serve.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.console = Console(self.environ)

    def __enter__(self) -> Self:
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "SIS", "-f", str(self.key)],
            check=True,
        )
        self.start()
        return self

    def __exit__(self, *_fault: object) -> None:
        self.stop()
        self.console.close()
        self.postgres.stop()
        for directory, *_ in os.walk(self.directory):
            # Sealed epochs are closed to their own owner, too.
            Path(directory).chmod(0o700)
        shutil.rmtree(self.directory)

    # Starting and ending.

    def start(self) -> None:
        """Start it, and wait until the SFTP server listens."""
        command = [sys.executable, str(_HERE / "night_shift.py"), str(self.directory)]
        self._begin([*command, *([self._user] if self._user else [])])
        ports = self.config.ports_file
        wait_until(ports.exists, what="the ports", why=self.log)
        self.port = int(json.loads(ports.read_text())["sftp"])

    def start_sftp_alone(self) -> None:
        """Start nothing but the SFTP server: nobody starts PostgreSQL again then."""
        environ = {"NIGHTDROP_SFTP_PORT": str(self.port)}
        self._begin([sys.executable, "-m", "nightdrop", "sftp"], environ)
        wait_until(self._is_listening, what="the SFTP server", why=self.log)

    def _begin(self, command: list[str], environ: Mapping[str, str] = MappingProxyType({})) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env={**self.environ, **environ}, stdout=log, stderr=log
            )

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def kill(self) -> None:
        """Kill everything at once: `serve`, its parts, PostgreSQL."""
        assert self._process is not None
        pids = [*self.parts("sftp"), *self.parts("worker"), *self.postgres_processes()]
        self._process.kill()
        kill_processes(*pids)
        self._process.wait(PATIENCE_SECONDS)
        self._process = None
        # Who was killed has not taken it away; `start` waits for the next one's.
        self.config.ports_file.unlink()

    def kill_sftp_alone(self) -> None:
        """Kill the SFTP server that `start_sftp_alone` has started."""
        assert self._process is not None
        workers = processes_of(self._process.pid)
        self._process.kill()
        kill_processes(*workers)
        self._process.wait(PATIENCE_SECONDS)
        self._process = None

    def parts(self, name: str) -> list[int]:
        """Return the process ids of a part's living processes."""
        found = (int(file.suffix[1:]) for file in self.directory.glob(f"{name}.*"))
        return [pid for pid in found if not is_gone(pid)]

    def kill_part(self, name: str) -> None:
        """Kill all processes of a part, and wait until `serve` has started others."""
        killed = self.parts(name)
        kill_processes(*killed)
        self.wait_for_others(name, *killed)

    def wait_for_others(self, name: str, *killed: int) -> None:
        """Wait until other processes have taken the places of those that were killed.

        Whoever connects meanwhile waits for them: `serve` itself has the port.
        """

        def look() -> bool:
            living = self.parts(name)
            return len(living) == PROCESSES[name] and not set(killed) & set(living)

        wait_until(look, what=f"other processes of {name}", why=self.log)

    def kill_postgres(self) -> Postmaster:
        """Kill PostgreSQL with all of its processes, and return what its first one was."""
        killed = self.postmaster()
        kill_processes(*self.postgres_processes())
        return killed

    def wait_for_postgres(self, *, other_than: Postmaster | None = None) -> None:
        """Wait until PostgreSQL answers, and is another one than that which was killed."""

        def look() -> bool:
            try:
                psycopg.connect(self.postgres.conninfo(Role.APP)).close()
            except psycopg.OperationalError:
                return False
            return other_than is None or self.postmaster().pid != other_than.pid

        wait_until(look, what="PostgreSQL to answer", why=self.log)

    def ask(self, statement: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the database, as its superuser."""
        with psycopg.connect(self.postgres.conninfo(ADMIN)) as connection:
            return connection.execute(statement, parameters).fetchall()

    def postmaster(self) -> Postmaster:
        """Return PostgreSQL's first process."""
        found = find_postmaster(self.postgres.places)
        assert found is not None
        return found

    def postgres_processes(self) -> list[int]:
        """Return PostgreSQL's processes, the first one first."""
        first = self.postmaster().pid
        return [first, *processes_of(first)]

    # Points.

    @contextmanager
    def halting_at(self, point: Point) -> Iterator[Callable[[], Halted]]:
        """Make the next part that comes to `point` wait there.

        Returns: what waits until one does. Whoever comes there later is not kept.
        """
        order = self.directory / ORDER
        path = self.directory / HALTED
        with ExitStack() as stack:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(path))
            stack.callback(path.unlink)
            path.chmod(0o777)
            listener.listen()
            listener.settimeout(PATIENCE_SECONDS)
            order.write_text(point, encoding="ascii")
            stack.callback(order.unlink, missing_ok=True)

            def wait() -> Halted:
                connection, _ = listener.accept()
                stack.callback(connection.close)
                order.unlink()
                with connection.makefile("rb") as stream:
                    pid, fact = json.loads(stream.readline())
                return Halted(pid, fact, connection)

            yield wait

    def wait_for_scans(self) -> None:
        """Have all epochs tried: the last scan comes when they have been quiet for long enough."""
        for _ in range(3):
            with self.halting_at(Point.SCANNED) as halted:
                halted().let_go()

    # What it says.

    def log(self) -> str:
        """Return what it wrote to standard error so far."""
        return self._log.read_text()

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
