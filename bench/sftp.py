# SPDX-License-Identifier: Apache-2.0
"""What a district's transfer costs the server, in multiples of what OpenSSH's server takes.

Ours is `nightdrop serve` as anybody starts it, with its database, journal and fences; of it
the SFTP process is measured. The baseline is sshd with internal-sftp, logging in a user who
is not root. Both answer the same client in turn, in one run, with files on one file system.

CPU is user and system time of a server's processes, reaped children included. A transfer
is one file sent by one client; a session is login, mkdir, two files of 50 KB, COMPLETE and
exit, and includes what ours writes to its journal and ships to the database after it.

Run: python -m bench.sftp [--rounds 5] [--size-mib 1024] [--cipher chacha20-poly1305@openssh.com]
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.sftp_servers import PATIENCE_SECONDS, Server, has_sshd, make_key, nightdrop, sshd

MIB: Final = 1024 * 1024
#: Sessions that one figure is the mean of, and that are kept idle; a district may have 32.
SESSIONS: Final = 20
SESSION_FILES: Final = ("students.csv", "guardians.csv")
SESSION_FILE_BYTES: Final = 50_000

PUT, GET, SESSION, MEMORY = "put", "get", "nightly session", "idle session"
PUT_RATE, GET_RATE = "put rate", "get rate"
UNITS: Final[Mapping[str, str]] = {
    PUT: "CPU s/GiB",
    GET: "CPU s/GiB",
    SESSION: "CPU ms",
    MEMORY: "KiB",
    PUT_RATE: "MiB/s",
    GET_RATE: "MiB/s",
}
#: The most that each may be of the baseline's.
GOALS: Final[Mapping[str, float]] = {PUT: 0.55, GET: 0.45, SESSION: 0.22, MEMORY: 0.02}
CHACHA_GOALS: Final[Mapping[str, float]] = {PUT: 0.6, GET: 0.6}

Figures = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Client:
    """OpenSSH's sftp, with one cipher and one key exchange that both servers have."""

    scratch: Path
    cipher: str

    def command(self, server: Server) -> list[str]:
        """Return how the client is started; it reads commands from standard input."""
        options = {
            "UserKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "no",
            "IdentitiesOnly": "yes",
            "KexAlgorithms": "curve25519-sha256",
            "LogLevel": "ERROR",
        }
        command = ["sftp", "-q", "-F", "none", "-b", "-", "-c", self.cipher]
        command += ["-P", str(server.port), "-i", str(self.scratch / "id")]
        for name, value in options.items():
            command += ["-o", f"{name}={value}"]
        return [*command, f"{server.username}@127.0.0.1"]

    def run(self, server: Server, *commands: str) -> float:
        """Run one session and return how long it took, in seconds."""
        start = time.perf_counter()
        subprocess.run(
            self.command(server),
            input="\n".join(commands) + "\n",
            cwd=self.scratch,
            stdout=subprocess.DEVNULL,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
        return time.perf_counter() - start


def main() -> None:
    """Measure, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--cipher", default="aes128-gcm@openssh.com")
    parser.add_argument("--directory", type=Path, help="where the files of both servers are")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="nd-bench-", dir=given.directory) as directory,
        contextlib.ExitStack() as running,
    ):
        scratch = Path(directory)
        # The users that both servers work as must be able to pass through.
        scratch.chmod(0o755)
        make_files(scratch, size_mib=given.size_mib)
        servers = [running.enter_context(nightdrop(scratch))]
        if has_sshd():
            servers.append(running.enter_context(sshd(scratch)))
        client = Client(scratch, given.cipher)
        figures = run_rounds(servers, client, rounds=given.rounds, size_mib=given.size_mib)
    print(f"{given.cipher}, one file of {given.size_mib} MiB, medians of {given.rounds} rounds")
    is_chacha = given.cipher.startswith("chacha20")
    show(figures, goals=CHACHA_GOALS if is_chacha else GOALS)


def run_rounds(
    servers: Sequence[Server], client: Client, *, rounds: int, size_mib: int
) -> dict[str, Figures]:
    """Measure the servers in turn, after a first round that is not counted."""
    all_figures: dict[str, Figures] = {
        server.name: {figure: [] for figure in UNITS} for server in servers
    }
    first_night = datetime.now(UTC) - timedelta(days=1)
    for number in range(rounds + 1):
        night = first_night + timedelta(seconds=number * (SESSIONS + 1))
        for server in servers:
            found = measure_transfers(server, client, night=night, size_mib=size_mib)
            found[SESSION] = measure_sessions(server, client, night=night)
            shown = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
            print(f"{'warm-up' if number == 0 else f'round {number}'}, {server.name}: {shown}")
            if number:
                for name, value in found.items():
                    all_figures[server.name][name].append(value)
    for server in servers:
        with contextlib.suppress(PermissionError):
            all_figures[server.name][MEMORY].append(measure_idle(server, client))
    return all_figures


def measure_transfers(
    server: Server, client: Client, *, night: datetime, size_mib: int
) -> dict[str, float]:
    """Send one file into a directory of its own, fetch it, and remove it."""
    place = f"{server.upload}/{_epoch(night)}"
    client.run(server, f"mkdir {place}")
    put_cpu, put_seconds = _cpu_of(
        server, lambda: client.run(server, f"put payload {place}/payload")
    )
    get_cpu, get_seconds = _cpu_of(server, lambda: client.run(server, f"get {place}/payload null"))
    client.run(server, f"rm {place}/payload", f"rmdir {place}")
    return {
        PUT: put_cpu * 1024 / size_mib,
        GET: get_cpu * 1024 / size_mib,
        PUT_RATE: size_mib / put_seconds,
        GET_RATE: size_mib / get_seconds,
    }


def measure_sessions(server: Server, client: Client, *, night: datetime) -> float:
    """Return the CPU milliseconds of one nightly session."""

    def run_sessions() -> None:
        for number in range(1, SESSIONS + 1):
            place = f"{server.upload}/{_epoch(night + timedelta(seconds=number))}"
            names = (*SESSION_FILES, "COMPLETE")
            client.run(server, f"mkdir {place}", *(f"put {name} {place}/{name}" for name in names))

    cpu, _ = _cpu_of(server, run_sessions)
    return cpu * 1000 / SESSIONS


def measure_idle(server: Server, client: Client) -> float:
    """Return the KiB that the server keeps for one session at rest."""
    server.rest()
    before = server.memory_kib()
    with contextlib.ExitStack() as sessions:
        for _ in range(SESSIONS):
            sessions.enter_context(idle_session(server, client))
        server.rest()
        return (server.memory_kib() - before) / SESSIONS


@contextmanager
def idle_session(server: Server, client: Client) -> Iterator[None]:
    """Keep a client logged in."""
    with subprocess.Popen(
        client.command(server), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise TypeError("a pipe was asked for")
        process.stdin.write("pwd\n")
        process.stdin.flush()
        while not process.stdout.readline().startswith("Remote working directory"):
            if process.poll() is not None:
                raise ConnectionError(f"{server.name} ended a session")
        yield
        process.stdin.close()
        process.stdout.read()


def show(figures: Mapping[str, Figures], *, goals: Mapping[str, float]) -> None:
    """Print a line for each figure, with its goal if there is a baseline to hold it to."""
    ours, *others = figures.values()
    for name, unit in UNITS.items():
        if not ours[name]:
            print(f"{name:16} not measured: only root may see the memory of such processes")
            continue
        mine = statistics.median(ours[name])
        if not others or not others[0][name]:
            print(f"{name:16} {mine:9.2f} {unit:9} NO BASELINE")
            continue
        baseline = statistics.median(others[0][name])
        ratio = mine / baseline
        line = f"{name:16} {mine:9.2f} {unit:9} sshd {baseline:9.2f}  {ratio:6.3f} of sshd"
        if name in goals:
            verdict = "met" if ratio <= goals[name] else "NOT MET"
            line += f"  (at most {goals[name]} of sshd)  {verdict}"
        print(line)


def make_files(scratch: Path, *, size_mib: int) -> None:
    """Make what is sent, where it is fetched to, and the client's key."""
    with (scratch / "payload").open("wb") as file:
        for _ in range(size_mib):
            file.write(os.urandom(MIB))
    for name in SESSION_FILES:
        (scratch / name).write_bytes(os.urandom(SESSION_FILE_BYTES))
    (scratch / "COMPLETE").touch()
    # What the client does with what it fetches is not the server's cost.
    (scratch / "null").symlink_to(os.devnull)
    make_key(scratch / "id")


def _cpu_of(server: Server, work: Callable[[], object]) -> tuple[float, float]:
    """Return the CPU seconds and the seconds that `work` takes, the latter until it returns."""
    server.rest()
    before, start = server.cpu_seconds(), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    server.rest()
    return server.cpu_seconds() - before, seconds


def _epoch(night: datetime) -> str:
    return f"{night:%Y%m%d-%H%M%S}"


if __name__ == "__main__":
    main()
