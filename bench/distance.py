# SPDX-License-Identifier: Apache-2.0
"""How fast one file arrives from far away, in multiples of what OpenSSH's server reaches.

A process between client and server holds back all bytes for half of the round trip, each way.
The rate is the steady one: from the first quarter of the file to its end, as the file grows
on the server's disk, without login and the window's first growth. What the process between
can carry is measured first, without a delay, next to a direct connection.

Run: python -m bench.distance [--rounds 3] [--size-mib 1024] [--round-trip 0.08]
"""

import argparse
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.delay import delayed
from bench.figures import Goal, show_figure
from bench.sftp import name_epoch
from bench.sftp_client import AES, MIB, Client, scratch_directory
from bench.sftp_servers import Server, side_by_side

GOAL: Final = Goal(7, is_least=True)
#: Where the steady part of a file begins.
STEADY_FROM: Final = 0.25
#: The process between should carry this many times what was measured through it.
HEADROOM: Final = 1.5
_LOOK_SECONDS: Final = 0.02
#: OpenSSH's server takes 45 seconds for a gibibyte at 80 ms.
_PATIENCE_SECONDS: Final = 600


def main() -> None:
    """Measure, and print medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--round-trip", type=float, default=0.08, help="seconds")
    parser.add_argument("--directory", type=Path, help="where the files of both servers are")
    given = parser.parse_args()
    with (
        scratch_directory(given.directory, size_mib=given.size_mib) as scratch,
        side_by_side(scratch) as servers,
    ):
        client = Client(scratch, AES)
        night = datetime.now(UTC) - timedelta(days=1)
        carried = check_proxy(servers[0], client, night=night)
        rates: dict[str, list[float]] = {server.name: [] for server in servers}
        for number in range(given.rounds):
            night += timedelta(seconds=1)
            for server in servers:
                with delayed(server.port, seconds=given.round_trip / 2) as port:
                    steady, whole = send(replace(server, port=port), client, night=night)
                rates[server.name].append(steady)
                print(
                    f"round {number + 1}, {server.name}: {steady:.1f} MiB/s, {whole:.1f} s in all"
                )
    show(rates, carried=carried, given=given)


def check_proxy(server: Server, client: Client, *, night: datetime) -> float:
    """Return the rate in MiB/s of a connection through the process between, undelayed."""
    direct, _ = send(server, client, night=night)
    with delayed(server.port, seconds=0) as port:
        carried, _ = send(replace(server, port=port), client, night=night)
    print(f"no delay: {carried:.0f} MiB/s through the process between, {direct:.0f} directly")
    return carried


def send(server: Server, client: Client, *, night: datetime) -> tuple[float, float]:
    """Send one file; return the steady rate in MiB/s, and the seconds of the whole session."""
    epoch = name_epoch(night)
    place = f"{server.upload}/{epoch}"
    size_bytes = (client.scratch / "payload").stat().st_size
    client.run(server, f"mkdir {place}")
    watch = Watch(server.disk / epoch / "payload", size_bytes=size_bytes)
    whole = client.run(server, f"put payload {place}/payload", patience=_PATIENCE_SECONDS)
    rate = watch.end()
    client.run(server, f"rm {place}/payload", f"rmdir {place}")
    return rate, whole


class Watch:
    """Watches a file grow, in a thread, until `end`."""

    def __init__(self, file: Path, *, size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self._seen: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> float:
        """Return the rate of the steady part in MiB/s."""
        self._stop.set()
        self._thread.join()
        start = next(seen for seen in self._seen if seen[1] >= self._size_bytes * STEADY_FROM)
        end = next(seen for seen in self._seen if seen[1] >= self._size_bytes)
        if end == start:
            raise ValueError("the file is too small to be seen growing")
        return (end[1] - start[1]) / MIB / (end[0] - start[0])

    def _look(self) -> None:
        size = 0
        while size < self._size_bytes:
            is_over = self._stop.is_set()
            size = self._file.stat().st_size if self._file.exists() else 0
            self._seen.append((time.monotonic(), size))
            if is_over:
                return
            self._stop.wait(_LOOK_SECONDS)


def show(
    rates: Mapping[str, Sequence[float]], *, carried: float, given: argparse.Namespace
) -> None:
    """Print the medians and the ratio."""
    ours, *others = (statistics.median(found) for found in rates.values())
    name = f"upload at {given.round_trip * 1000:.0f} ms"
    if not others:
        print(f"{name:30} {ours:9.2f} MiB/s NO BASELINE")
        return
    show_figure(
        name,
        ours / others[0],
        "of sshd",
        goal=GOAL,
        remark=f"{ours:9.2f} MiB/s     sshd {others[0]:9.2f}",
    )
    if carried < ours * HEADROOM:
        print(f"note: the process between carries {carried:.0f} MiB/s and may be what limits this")


if __name__ == "__main__":
    main()
