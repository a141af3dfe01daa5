# SPDX-License-Identifier: Apache-2.0
"""A part with several processes: they share a port, and each lives and ends on its own."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from cli.serving import Served, Serving, stop_process, who_listens

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
PATIENCE_SECONDS = 60
ELSEWHERE = {"NIGHTDROP_DATABASE_URL": "postgresql://nightdrop_app@db.example.org/nightdrop"}


def start(served: Served, *, count: int = 3, **options: object) -> Serving:
    """Start `serve` with several SFTP processes and nothing else, not even PostgreSQL."""
    environ = {"NIGHTDROP_SFTP_WORKERS": str(count), **ELSEWHERE}
    return served.start(program="tiny_parts.py", environ=environ, parts=["sftp"], **options)


def wait_until_ready(serving: Serving, count: int = 3) -> dict[str, int]:
    """Wait for each process; return the process id of each."""
    names = [f"sftp-{number + 1}" for number in range(count)]
    return {name: serving.wait_for("part-ready", ready=name)["pid"] for name in names}


def who_answer(port: int, wanted: set[int]) -> dict[int, str]:
    """Connect until all of the wanted processes have answered; return the name of each."""
    found: dict[int, str] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not wanted <= found.keys():
        assert time.monotonic() < deadline, (wanted, found)
        told = who_listens(port)
        found[told["pid"]] = told["name"]
    return found


@needs_linux
def test_all_take_connections_of_one_port_which_is_told_once(served: Served) -> None:
    serving = start(served)
    pids = wait_until_ready(serving)
    ports = json.loads(serving.config.ports_file.read_text())
    answered = who_answer(ports["sftp"], set(pids.values()))
    assert answered == {pid: f"nd-{name}" for name, pid in pids.items()}
    assert serving.stop() == 0
    assert len([line for line in serving.said if '"listens"' in line]) == 1
    assert set(ports) == {"sftp"}


def test_a_killed_one_comes_back_and_the_others_stay(served: Served) -> None:
    serving = start(served)
    port = serving.port("sftp")
    pids = wait_until_ready(serving)
    for _ in range(3):
        killed = pids["sftp-2"]
        os.kill(killed, signal.SIGKILL)
        serving.wait_for("part-ended", ended="sftp-2", status=-signal.SIGKILL)
        for _ in range(20):
            assert who_listens(port)["pid"] != killed
        pids["sftp-2"] = serving.wait_for("part-ready", ready="sftp-2")["pid"]
    who_answer(port, set(pids.values()))
    assert serving.stop() == 0
    ended = [json.loads(line) for line in serving.said if '"part-ended"' in line]
    # Each process that ends again soon waits longer; the others were not put off.
    assert [(one["ended"], one["again_in_seconds"]) for one in ended] == [
        ("sftp-2", 0.02), ("sftp-2", 0.04), ("sftp-2", 0.08),
    ]  # fmt: skip


@needs_linux
def test_one_that_stands_still_takes_no_connection_with_it(served: Served) -> None:
    serving = start(served)
    port = serving.port("sftp")
    pids = wait_until_ready(serving)
    still = pids["sftp-1"]
    stop_process(still)
    for _ in range(20):
        assert who_listens(port)["pid"] != still
    os.kill(still, signal.SIGCONT)
    assert serving.stop() == 0


def test_who_connects_while_nobody_serves_waits_for_the_next_process(served: Served) -> None:
    serving = start(served, count=1)
    port = serving.port("sftp")
    (killed,) = wait_until_ready(serving, 1).values()
    for _ in range(3):
        os.kill(killed, signal.SIGKILL)
        serving.wait_for("part-ended", ended="sftp-1")
        told = who_listens(port)["pid"]
        assert told == serving.wait_for("part-ready", ready="sftp-1")["pid"] != killed
        killed = told


def test_nobody_can_connect_while_it_stops(served: Served) -> None:
    serving = start(served, sftp="lingers", grace_seconds=100)
    port = serving.port("sftp")
    pids = wait_until_ready(serving)
    serving.process.send_signal(signal.SIGTERM)
    for name in pids:
        serving.wait_for("lingering", part=name)
    with socket.socket() as late:
        assert late.connect_ex(("127.0.0.1", port)) != 0
    # The port is another's already.
    environ = {"NIGHTDROP_SFTP_PORT": str(port), **ELSEWHERE}
    other = served.beside().start(environ=environ, parts=["sftp"])
    assert other.port("sftp") == port
    serving.process.send_signal(signal.SIGTERM)
    assert serving.end() == 0


@pytest.mark.parametrize("setting", ["SFTP_PORT", "WEB_PORT"])
def test_two_that_serve_in_two_homes_never_share_a_port(served: Served, setting: str) -> None:
    first = served.start()
    port = first.port(setting.removesuffix("_PORT").lower())
    second = served.beside().start(environ={f"NIGHTDROP_{setting}": str(port)})
    assert second.end() == 1
    assert any(f"set NIGHTDROP_{setting} to another port" in line for line in second.said)
    # It was refused before it touched anything else.
    assert not (second.config.home / "postgres").exists()
    assert who_listens(port)["pid"]
    assert first.stop() == 0


@needs_linux
def test_no_process_keeps_what_is_not_its_own(served: Served) -> None:
    """A socket that somebody keeps lets clients connect when nobody serves any more."""
    environ = {"NIGHTDROP_SFTP_WORKERS": "2", **ELSEWHERE}
    serving = served.start(environ=environ)
    ports = {name: serving.port(name) for name in ("sftp", "web")}
    ready = {
        name: serving.wait_for("part-ready", ready=name)["pid"]
        for name in ("sftp-1", "sftp-2", "web", "worker")
    }
    inode = {name: _listening_inode(port) for name, port in ports.items()}
    keeps = {name: _sockets(pid) & set(inode.values()) for name, pid in ready.items()}
    assert keeps == {
        "sftp-1": {inode["sftp"]}, "sftp-2": {inode["sftp"]}, "web": {inode["web"]}, "worker": set()
    }  # fmt: skip


def _listening_inode(port: int) -> str:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    (found,) = [row[9] for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "0A"]
    return f"socket:[{found}]"


def _sockets(pid: int) -> set[str]:
    return {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
