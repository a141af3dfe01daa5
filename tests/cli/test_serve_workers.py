# SPDX-License-Identifier: Apache-2.0
"""Several real SFTP processes under real `sftp` clients: killed, renewed and stopped."""

import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cli.serving import Served, Serving, stop_process
from nightdrop.config import load_config
from nightdrop.db.embedded import EmbeddedPostgres

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and uses all of 127/8"),
    pytest.mark.skipif(not shutil.which("sftp"), reason="OpenSSH's sftp is not installed"),
]

COUNT = 3
DISTRICT = "applegrove.org"
#: How long a session may take; nobody may wait longer for anything.
PATIENCE_SECONDS = 60
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Session:
    """One client, from an address of its own, and what became of it."""

    address: str
    status: int
    said: str


class Clients:
    """OpenSSH's clients of a running `serve`."""

    def __init__(self, serving: Serving, *, port: int, key: Path) -> None:
        self.serving = serving
        self._port = port
        self._key = key

    def begin(self, *commands: str, address: str = "127.0.0.1", slowly: bool = False) -> "Popen":
        """Start a session with a batch of commands; it goes on until its input is closed."""
        options = [
            "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR",
            f"BindAddress={address}",
        ]  # fmt: skip
        client = subprocess.Popen(
            ["sftp", *(["-l", "800"] if slowly else []), "-b", "-", "-F", "/dev/null",
             "-i", str(self._key), "-P", str(self._port),
             *itertools.chain.from_iterable(("-o", option) for option in options),
             f"{DISTRICT}@127.0.0.1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert client.stdin is not None
        client.stdin.write("".join(f"{command}\n" for command in commands))
        client.stdin.flush()
        return client

    def run(self) -> Session:
        """Log in, send two files, and go."""
        number = next(_numbers)
        address = str(IPv4Address("127.7.0.1") + number)
        folder = f"/upload/night-{number}"
        client = self.begin(
            f"mkdir {folder}", f"put {__file__} {folder}/a.csv", f"put {__file__} {folder}/b.csv",
            f"ls {folder}", address=address,
        )  # fmt: skip
        said, _ = client.communicate(timeout=PATIENCE_SECONDS)
        return Session(address, client.returncode, said)

    @contextmanager
    def stream(self) -> Iterator[list[Future[list[Session]]]]:
        """Let clients come one after the other, two at a time, while the body runs."""
        is_over = threading.Event()

        def come() -> list[Session]:
            sessions = []
            while not is_over.is_set():
                sessions.append(self.run())
            return sessions

        with ThreadPoolExecutor(2) as pool:
            streams = [pool.submit(come) for _ in range(2)]
            try:
                yield streams
            finally:
                is_over.set()


Popen = subprocess.Popen[str]


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[Path, Path]]:
    """Make a home with a district, and the key that opens it."""
    made = Path(tempfile.mkdtemp(prefix="nightdrop-test-"))
    made.chmod(0o777)
    home, key = made / "home", made / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    environ = {name: value for name, value in os.environ.items() if "NIGHTDROP_" not in name}
    environ["NIGHTDROP_HOME"] = str(home)
    # In use meanwhile, so that it is not started and stopped for each command.
    with EmbeddedPostgres(home).attach():
        for command in (
            ["migrate"],
            ["district", "add", DISTRICT, "--time-zone", "UTC"],
            ["key", "add", DISTRICT, f"{key}.pub", "--label", "test"],
        ):
            subprocess.run(
                [sys.executable, "-m", "nightdrop", *command], env=environ, check=True,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
    yield home, key
    EmbeddedPostgres(home).stop()
    shutil.rmtree(made)


@pytest.fixture
def clients(house: tuple[Path, Path]) -> Iterator[Clients]:
    """Serve with three processes, and return their clients."""
    home, key = house
    with ExitStack() as stack:
        serving = Served(home, stack).start(
            program="real_parts.py",
            environ={"NIGHTDROP_SFTP_WORKERS": str(COUNT), "NIGHTDROP_SFTP_LEGACY_PORT": "0"},
            parts=["sftp"],
            stop_seconds=4,
        )
        port = serving.port("sftp")
        for name in names():
            serving.wait_for("part-ready", ready=name)
        yield Clients(serving, port=port, key=key)
        assert serving.stop() == 0


def names() -> list[str]:
    """Return what the processes are called."""
    return [f"sftp-{number + 1}" for number in range(COUNT)]


def workers(serving: Serving) -> dict[str, int]:
    """Return the process that has each name now, as `ps` shows it."""
    parent = serving.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    comms = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in children}
    return {
        comm.removeprefix("nd-"): int(pid)
        for pid, comm in comms.items()
        if comm.startswith("nd-sftp-")
    }


def peers(pid: int) -> set[str]:
    """Return the addresses that a process has connections from."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    own = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return {
        str(IPv4Address(int.from_bytes(bytes.fromhex(row[2].partition(":")[0]), "little")))
        for row in rows
        if f"socket:[{row[9]}]" in own
    }


def kill_and_tell(pid: int) -> set[str]:
    """Kill a process; return who was connected to it at that moment."""
    stop_process(pid)
    victims = peers(pid)
    os.kill(pid, signal.SIGKILL)
    return victims


def test_the_legacy_port_is_told_and_taken_by_the_same_processes(clients: Clients) -> None:
    ports = json.loads(clients.serving.config.ports_file.read_text())
    assert set(ports) == {"sftp", "sftp_legacy"}
    for port in ports.values():
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as client:
            assert client.makefile("rb").readline().startswith(b"SSH-2.0-Nightdrop")


@pytest.mark.parametrize(
    "kills", [pytest.param(4, id="few"), pytest.param(40, id="many", marks=pytest.mark.soak)]
)
def test_only_sessions_of_a_killed_process_fail_and_nobody_hangs(
    clients: Clients, kills: int
) -> None:
    victims: set[str] = set()
    with clients.stream() as streams:
        for _ in range(kills):
            name = random.choice(names())
            victims |= kill_and_tell(workers(clients.serving)[name])
            clients.serving.wait_for("part-ended", ended=name, status=-signal.SIGKILL)
            clients.serving.wait_for("part-ready", ready=name)
    sessions = [session for stream in streams for session in stream.result()]
    failed = {session.address: session.said for session in sessions if session.status != 0}
    assert failed.keys() <= victims, failed
    assert len(sessions) - len(failed) >= kills


def test_processes_are_renewed_one_by_one_and_no_session_fails(clients: Clients) -> None:
    serving = clients.serving
    before = workers(serving)
    with clients.stream() as streams:
        for name in names():
            os.kill(before[name], signal.SIGTERM)
            serving.wait_for("part-ended", ended=name, status=0)
            serving.wait_for("part-ready", ready=name)
    sessions = [session for stream in streams for session in stream.result()]
    assert sessions
    assert [session for session in sessions if session.status != 0] == []
    assert set(before.values()).isdisjoint(workers(serving).values())


def test_a_stop_lets_a_transfer_end_and_tells_the_others_why(
    clients: Clients, tmp_path: Path
) -> None:
    short, long = tmp_path / "short", tmp_path / "long"
    short.write_bytes(bytes(200_000))
    long.write_bytes(bytes(20_000_000))
    folders = {file: f"/upload/stop-{next(_numbers)}" for file in (short, long)}
    begun = {
        file: clients.begin(f"mkdir {folder}", f"put {file} {folder}/a.csv", slowly=True)
        for file, folder in folders.items()
    }
    idle = clients.begin("pwd")
    for folder in folders.values():
        _wait_until_written(clients.serving, folder)
    assert idle.stdout is not None
    assert [idle.stdout.readline() for _ in range(2)][1].startswith("Remote working directory")
    clients.serving.process.send_signal(signal.SIGTERM)
    said = {file: client.communicate(timeout=PATIENCE_SECONDS)[0] for file, client in begun.items()}
    why = "The server is restarting. Connect again in a moment."
    assert begun[short].returncode == 0, said[short]
    assert begun[long].returncode != 0
    assert why in said[long]
    assert why in idle.communicate(timeout=PATIENCE_SECONDS)[0]
    assert clients.serving.end() == 0


def _wait_until_written(serving: Serving, folder: str) -> None:
    """Wait until some of a file has arrived."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    name = Path(folder).name
    while not any(
        path.stat().st_size for path in serving.config.tree.glob(f"*/upload/{name}/a.csv")
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def begin_alone(home: Path, part: str, stack: ExitStack, **settings: str) -> Serving:
    """Start one part, or all of them, as an operator does."""
    environ = {name: value for name, value in os.environ.items() if "NIGHTDROP_" not in name}
    environ |= {"NIGHTDROP_HOME": str(home), "NIGHTDROP_LOG_FORMAT": "json"}
    environ |= {f"NIGHTDROP_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "nightdrop", part]
    process = stack.enter_context(
        subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    )
    stack.callback(process.kill)
    return Serving(process, load_config(environ))


def test_a_part_alone_runs_once_beside_others(house: tuple[Path, Path]) -> None:
    home, key = house
    with ExitStack() as stack:
        sftp = begin_alone(home, "sftp", stack, SFTP_PORT="0", SFTP_WORKERS=str(COUNT))
        port = sftp.port("sftp")
        for name in names():
            sftp.wait_for("part-ready", ready=name)
        web = begin_alone(home, "web", stack, WEB_PORT="0")
        assert web.port("web")
        for part in ("sftp", "serve"):
            refused = begin_alone(home, part, stack, SFTP_PORT="0", WEB_PORT="0")
            assert refused.end() == 1
            assert "".join(refused.said) == (
                f"nightdrop: nightdrop sftp runs already in {home}, alone or started by nightdrop"
                " serve; stop that one first, or set NIGHTDROP_HOME to another directory\n"
            )
        assert set(workers(sftp)) == set(names())
        assert Clients(sftp, port=port, key=key).run().status == 0
        assert web.stop() == 0
        assert sftp.stop() == 0


def test_a_part_alone_is_refused_where_it_is_served(clients: Clients) -> None:
    home = clients.serving.config.home
    with ExitStack() as stack:
        refused = begin_alone(home, "sftp", stack, SFTP_PORT="0")
        assert refused.end() == 1
        assert f"nightdrop sftp runs already in {home}" in refused.said[0]
        # It is not served, so it may run beside.
        web = begin_alone(home, "web", stack, WEB_PORT="0")
        assert web.port("web")
        assert web.stop() == 0
