# SPDX-License-Identifier: Apache-2.0
"""The console as a process: its port, its end, and a life without a database."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from web.serve_alone import NOBODY

SCRIPT = Path(__file__).with_name("serve_alone.py")


@dataclass(frozen=True, slots=True)
class Console:
    """A running console."""

    process: subprocess.Popen[str]
    port: int

    def get(self, path: str) -> tuple[int, str]:
        """Ask for a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        answer = response.status, response.read().decode()
        connection.close()
        return answer

    def workers(self) -> set[int]:
        """Return the processes that the master has forked."""
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return {int(part) for part in text.split()}

    def is_listening(self) -> bool:
        """Say whether anybody takes connections on the port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def start(home: Path, **settings: str) -> subprocess.Popen[str]:
    """Start a console in a home where no database runs."""
    environ = {name: value for name, value in os.environ.items() if "NIGHTDROP" not in name}
    environ |= {"NIGHTDROP_HOME": str(home), "NIGHTDROP_WEB_PORT": "0"}
    environ |= {f"NIGHTDROP_{name.upper()}": value for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def home() -> Iterator[Path]:
    """Make a home that the console's user owns, with a secret key in its tree."""
    with TemporaryDirectory(prefix="nd-web-") as name:
        made = Path(name)
        shared = made / "districts" / "shared"
        shared.mkdir(parents=True)
        (shared / "secret_key").write_text("secret to nobody", encoding="ascii")
        if os.geteuid() == 0:
            for path in (made, *made.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield made


@pytest.fixture
def console(home: Path) -> Iterator[Console]:
    """Run a console on a free port."""
    process = start(home)
    assert process.stdout is not None
    part, port = process.stdout.readline().split()
    assert part == "web"
    yield Console(process, int(port))
    process.kill()
    process.communicate()


def wait_until(is_so: Callable[[], bool], *, seconds: float = 20) -> None:
    """Look again until something outside has happened; fail when it does not."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_the_announced_port_answers_at_once_and_without_a_database(console: Console) -> None:
    assert console.get("/healthz") == (200, "ok\n")
    status, text = console.get("/readyz")
    assert status == 503
    assert '"database": "unreachable"' in text
    status, text = console.get("/invitations/abc")
    assert status == 503
    assert "The database is away" in text


def test_sigterm_ends_it_with_success(console: Console) -> None:
    console.get("/healthz")
    console.process.send_signal(signal.SIGTERM)
    assert console.process.wait(timeout=20) == 0
    assert not console.is_listening()


def test_a_killed_worker_is_replaced(console: Console) -> None:
    console.get("/healthz")
    (worker,) = console.workers()
    os.kill(worker, signal.SIGKILL)
    # The port stays open meanwhile: a request waits for the new worker.
    assert console.get("/healthz") == (200, "ok\n")
    assert console.workers() != {worker}


def test_a_killed_master_takes_its_workers_along(console: Console) -> None:
    console.get("/healthz")
    assert console.workers()
    console.process.kill()
    console.process.wait()
    wait_until(lambda: not console.is_listening())


def test_styles_are_served_from_home(home: Path, console: Console) -> None:
    sheets = list((home / "static" / "web").glob("nightdrop.????????????.css"))
    assert len(sheets) == 1
    status, text = console.get(f"/static/web/{sheets[0].name}")
    assert status == 200
    assert text == sheets[0].read_text(encoding="utf-8")
