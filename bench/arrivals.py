# SPDX-License-Identifier: Apache-2.0
"""A thousand districts' nightly sessions that arrive within ten seconds.

Each district has a key and an address of its own, logs in, makes its epoch, sends two files of
about 50 KB and COMPLETE, and goes; when each comes is left to chance. The server is `nightdrop
serve` as anybody starts it, which checks and loads meanwhile what has arrived. Clients run on
the same processors, as asyncssh in a few processes, and so take a good part of them: what they
took is said. A smaller number of OpenSSH's `sftp`, as dense, says whether their times can be
believed.

Run: python -m bench.arrivals [--districts 1000] [--seconds 10] [--clients 2] [--openssh 100]
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from bench.accounts import AccountWithKey, make_accounts
from bench.arrivals_client import Done, Order, source_of
from bench.figures import Goal, percentile, show_figure
from bench.processes import PATIENCE_SECONDS, cpu_seconds, wait_until
from bench.running import Running, running
from bench.sftp import name_epoch

from nightdrop.core.events import EventKind
from nightdrop.intake.sample import write_samples

#: Makes files of about 50 KB.
STUDENTS: Final = 290
MEMORY_GOAL: Final = Goal(1024)
#: Clients are told when to begin, so that all are ready then.
_READY_SECONDS: Final = 4
_LOOK_SECONDS: Final = 0.2
#: What was recorded about a login that did not succeed.
_REFUSALS: Final = [EventKind.LOGIN_REFUSED.value, EventKind.PENALISED.value]


class PeakMemory:
    """The most memory that the SFTP processes have together, looked at again and again."""

    def __init__(self, serving: Running) -> None:
        self.mib = 0.0
        self._serving = serving
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_fault: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            with suppress(PermissionError):
                self.mib = max(self.mib, self._serving.sftp_memory_kib() / 1024)


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--districts", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=2, help="processes")
    parser.add_argument("--openssh", type=int, default=100, help="sessions by OpenSSH's sftp")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nd-bench-") as directory:
        scratch = Path(directory)
        scratch.chmod(0o755)
        files = write_samples(scratch / "night", students=STUDENTS, seed=1)
        print(f"files of {', '.join(f'{file.stat().st_size // 1000} KB' for file in files)}")
        with running(scratch) as serving:
            accounts = make_accounts(serving, scratch / "accounts", count=given.districts)
            night = datetime.now(UTC) - timedelta(days=1)
            arrive(serving, scratch, files, night=night, given=given)
            check_with_openssh(
                serving, scratch, files, accounts, night=night + timedelta(hours=1), given=given
            )


def arrive(
    serving: Running,
    scratch: Path,
    files: Sequence[Path],
    *,
    night: datetime,
    given: argparse.Namespace,
) -> None:
    """Let all districts come, and print how it went."""
    refused_before = count_refusals(serving)
    used_before = [cpu_seconds(pid) for pid in serving.sftp_pids]
    with PeakMemory(serving) as memory:
        begin = time.time() + _READY_SECONDS
        chance = random.Random(1)
        moments = [begin + chance.uniform(0, given.seconds) for _ in range(given.districts)]
        with ThreadPoolExecutor(given.clients) as pool:
            orders = [
                Order(
                    port=serving.port,
                    accounts=str(scratch / "accounts"),
                    epoch=name_epoch(night),
                    files=list(map(str, files)),
                    numbers=list(range(first, given.districts, given.clients)),
                    moments=moments[first :: given.clients],
                )
                for first in range(given.clients)
            ]
            done = list(pool.map(_run_client, orders))
        took = time.time() - begin
        sealed = wait_for_seals(serving, name_epoch(night), count=given.districts)
    show(serving, done, given=given, peak_mib=memory.mib)
    show_figure("arrived and served within", took, "s")
    refused = count_refusals(serving) - refused_before
    show_figure("penalised or refused", refused, "logins", goal=Goal(0))
    show_figure("seals in the database", sealed, "seals", goal=Goal(given.districts, is_least=True))
    used = [
        cpu_seconds(pid) - before
        for pid, before in zip(serving.sftp_pids, used_before, strict=True)
    ]
    print(
        f"CPU: SFTP processes {', '.join(f'{seconds:.1f}' for seconds in used)} s, "
        f"clients {sum(each.cpu_seconds for each in done):.1f} s"
    )


def show(
    serving: Running, done: Sequence[Done], *, given: argparse.Namespace, peak_mib: float
) -> None:
    """Print what the clients saw, and the server's memory."""
    seconds = [each for client in done for each in client.seconds]
    faults = [each for client in done for each in client.faults]
    for fault in sorted(set(faults)):
        print(f"{faults.count(fault)} sessions failed: {fault}")
    goal = Goal(given.districts, is_least=True)
    show_figure("all succeed", len(seconds), "sessions", goal=goal)
    show_times("session", seconds)
    name = f"memory of {len(serving.sftp_pids)} SFTP processes"
    if peak_mib:
        show_figure(name, peak_mib, "MiB", goal=MEMORY_GOAL)
    else:
        print(f"{name:30} not measured: only root may see the memory of such processes")


def show_times(name: str, seconds: list[float]) -> None:
    """Print how the times are spread."""
    if seconds:
        figures = {"p50": percentile(seconds, 50), "p95": percentile(seconds, 95)}
        figures["max"] = max(seconds)
        shown = ", ".join(f"{figure} {value:.2f} s" for figure, value in figures.items())
        print(f"{name:30} {shown}")


def check_with_openssh(
    serving: Running,
    scratch: Path,
    files: Sequence[Path],
    accounts: Sequence[AccountWithKey],
    *,
    night: datetime,
    given: argparse.Namespace,
) -> None:
    """Let a part of the districts come as densely with `sftp`, and print how long it took them."""
    count = min(given.openssh, given.districts)
    if not count:
        return
    epoch = name_epoch(night)
    chance = random.Random(2)
    seconds = given.seconds * count / given.districts
    begin = time.monotonic() + 1

    def arrive_with_openssh(number: int) -> float | None:
        key = scratch / f"key-{number}"
        key.touch(mode=0o600)
        key.write_text(accounts[number].key)
        threading.Event().wait(begin + chance.uniform(0, seconds) - time.monotonic())
        start = time.perf_counter()
        command = [
            "sftp", "-q", "-F", "none", "-b", "-", "-P", str(serving.port), "-i", str(key),
            "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no",
            "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR",
            "-o", f"BindAddress={source_of(number)}", f"{accounts[number].username}@127.0.0.1",
        ]  # fmt: skip
        lines = [f"mkdir /upload/{epoch}", *(f"put {file} /upload/{epoch}/" for file in files)]
        lines.append(f"put {scratch / 'COMPLETE'} /upload/{epoch}/")
        ended = subprocess.run(
            command, input="\n".join(lines) + "\n", text=True, capture_output=True, check=False
        )
        if ended.returncode:
            print(f"an sftp failed: {ended.stderr.strip() or ended.stdout.strip()}")
            return None
        return time.perf_counter() - start

    (scratch / "COMPLETE").touch()
    with ThreadPoolExecutor(count) as pool:
        found = [each for each in pool.map(arrive_with_openssh, range(count)) if each is not None]
    show_figure("all sftp succeed", len(found), "sessions", goal=Goal(count, is_least=True))
    show_times(f"session of sftp, {count} in {seconds:.0f} s", found)


def count_refusals(serving: Running) -> int:
    """Return how many logins were refused or kept waiting, as the database knows it."""
    found = serving.query("SELECT count(*) FROM audit_event WHERE kind = ANY(%s)", _REFUSALS)
    return int(found[0][0])


def wait_for_seals(serving: Running, epoch: str, *, count: int) -> int:
    """Wait until the database knows all deliveries of an epoch; return how many it knows."""

    def known() -> int:
        found = serving.query("SELECT count(*) FROM delivery WHERE epoch = %s", epoch)
        return int(found[0][0])

    with suppress(TimeoutError):
        wait_until(lambda: known() >= count, what="all seals", seconds=PATIENCE_SECONDS)
    return known()


def _run_client(order: Order) -> Done:
    ended = subprocess.run(
        [sys.executable, "-m", "bench.arrivals_client"],
        input=json.dumps(asdict(order)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Done(**json.loads(ended.stdout))


if __name__ == "__main__":
    main()
