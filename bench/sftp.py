# SPDX-License-Identifier: Apache-2.0
"""What a district's transfer costs the server, in multiples of what OpenSSH's server takes.

Ours is `nightdrop serve` as anybody starts it, with its database, journal and fences; of it
all SFTP processes are measured. The baseline is sshd with internal-sftp, logging in a user
who is not root. Both answer the same client in turn, in one run, with files on one file system.

CPU is user and system time of a server's processes, reaped children included. A transfer
is one file sent by one client; a session is login, mkdir, two files of 50 KB, COMPLETE and
exit, and includes what ours writes to its journal and ships to the database after it.

Run: python -m bench.sftp [--rounds 5] [--size-mib 1024] [--cipher chacha20-poly1305@openssh.com]
"""

import argparse
import contextlib
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.figures import Goal, show_figure
from bench.sftp_client import AES, CHACHA, SESSION_FILES, Client, scratch_directory
from bench.sftp_servers import Server, side_by_side

#: Sessions that one figure is the mean of.
SESSIONS: Final = 20
#: Sessions at rest whose memory is counted, and those before them, which find a server that
#: has memory to spare from what it did before.
IDLE_SESSIONS: Final = 100
IDLE_BEFORE: Final = 50

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
#: The most that each may be of the baseline's, by cipher.
GOALS: Final[Mapping[str, Mapping[str, float]]] = {
    AES: {PUT: 0.55, GET: 0.45, SESSION: 0.22, MEMORY: 0.02},
    CHACHA: {PUT: 0.6, GET: 0.6},
}

Figures = dict[str, list[float]]


def main() -> None:
    """Measure, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--cipher", choices=GOALS, help="default: one after the other")
    parser.add_argument("--directory", type=Path, help="where the files of both servers are")
    given = parser.parse_args()
    with (
        scratch_directory(given.directory, size_mib=given.size_mib) as scratch,
        side_by_side(scratch) as servers,
    ):
        night = datetime.now(UTC) - timedelta(days=1)
        for cipher in [given.cipher] if given.cipher else GOALS:
            measure(servers, Client(scratch, cipher), night=night, given=given)
            night += timedelta(hours=1)


def measure(
    servers: Sequence[Server], client: Client, *, night: datetime, given: argparse.Namespace
) -> None:
    """Measure the servers with one cipher, and print medians and ratios."""
    is_first = client.cipher == AES
    figures = run_rounds(
        servers,
        client,
        night=night,
        rounds=given.rounds,
        size_mib=given.size_mib,
        has_sessions=is_first,
    )
    print(f"{client.cipher}, one file of {given.size_mib} MiB, medians of {given.rounds} rounds")
    show(figures, goals=GOALS[client.cipher], suffix="" if is_first else ", chacha20")


def run_rounds(
    servers: Sequence[Server],
    client: Client,
    *,
    night: datetime,
    rounds: int,
    size_mib: int,
    has_sessions: bool,
) -> dict[str, Figures]:
    """Measure the servers in turn, after a first round that is not counted."""
    all_figures: dict[str, Figures] = {
        server.name: {figure: [] for figure in UNITS} for server in servers
    }
    for number in range(rounds + 1):
        for server in servers:
            found = measure_transfers(server, client, night=night, size_mib=size_mib)
            if has_sessions:
                found[SESSION] = measure_sessions(server, client, night=night)
            shown = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
            print(f"{'warm-up' if number == 0 else f'round {number}'}, {server.name}: {shown}")
            if number:
                for name, value in found.items():
                    all_figures[server.name][name].append(value)
        night += timedelta(seconds=SESSIONS + 1)
    for server in servers if has_sessions else ():
        with contextlib.suppress(PermissionError):
            all_figures[server.name][MEMORY].append(measure_idle(server, client))
    return all_figures


def measure_transfers(
    server: Server, client: Client, *, night: datetime, size_mib: int
) -> dict[str, float]:
    """Send one file into a directory of its own, fetch it, and remove it."""
    place = f"{server.upload}/{name_epoch(night)}"
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
            place = f"{server.upload}/{name_epoch(night + timedelta(seconds=number))}"
            names = (*SESSION_FILES, "COMPLETE")
            client.run(server, f"mkdir {place}", *(f"put {name} {place}/{name}" for name in names))

    cpu, _ = _cpu_of(server, run_sessions)
    return cpu * 1000 / SESSIONS


def measure_idle(server: Server, client: Client) -> float:
    """Return the KiB that the server keeps for each further session at rest."""
    found = []
    with contextlib.ExitStack() as sessions:
        for more in (IDLE_BEFORE, IDLE_SESSIONS):
            for _ in range(more):
                sessions.enter_context(idle_session(server, client))
            server.rest()
            found.append(server.memory_kib())
    return (found[1] - found[0]) / IDLE_SESSIONS


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


def show(figures: Mapping[str, Figures], *, goals: Mapping[str, float], suffix: str) -> None:
    """Print a line for each figure, with its goal if there is a baseline to hold it to."""
    ours, *others = figures.values()
    for name, unit in UNITS.items():
        if not ours[name]:
            continue
        mine = statistics.median(ours[name])
        if not others or not others[0][name]:
            print(f"{name + suffix:30} {mine:9.2f} {unit:9} NO BASELINE")
            continue
        baseline = statistics.median(others[0][name])
        show_figure(
            f"{name}{suffix}",
            mine / baseline,
            "of sshd",
            goal=Goal(goals[name]) if name in goals else None,
            remark=f"{mine:9.2f} {unit:9} sshd {baseline:9.2f}",
        )
    if MEMORY in goals and not ours[MEMORY]:
        print(f"{MEMORY:30} not measured: only root may see the memory of such processes")


def name_epoch(night: datetime) -> str:
    """Return the name of the epoch of a moment."""
    return f"{night:%Y%m%d-%H%M%S}"


def _cpu_of(server: Server, work: Callable[[], object]) -> tuple[float, float]:
    """Return the CPU seconds and the seconds that `work` takes, the latter until it returns."""
    server.rest()
    before, start = server.cpu_seconds(), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    server.rest()
    return server.cpu_seconds() - before, seconds


if __name__ == "__main__":
    main()
