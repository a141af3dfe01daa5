# SPDX-License-Identifier: Apache-2.0
"""What /proc knows of processes that are measured, and how they are started and waited for."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: How long anything here may take on a slow machine.
PATIENCE_SECONDS: Final = 90
POLL_SECONDS: Final = 0.05
#: What is shown of a server's log when something went wrong.
LOG_LINES: Final = 20


@contextmanager
def started(
    command: Sequence[str], log_file: Path, *, environ: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server and yield its pid; what it said is shown when anything goes wrong."""
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        yield process.pid
    except Exception:
        sys.stderr.write("\n".join(log_file.read_text().splitlines()[-LOG_LINES:]) + "\n")
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def wait_until(is_so: Callable[[], bool], *, what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Look again and again until something is so. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(POLL_SECONDS)


def families(pids: Iterable[int]) -> set[int]:
    """Return processes and all that descend from them, each once."""
    found = list(pids)
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text().split())
    return set(found)


def find_named(pids: Iterable[int], *, name: str) -> list[int]:
    """Return which of the processes have a name that begins so."""
    found = []
    for pid in sorted(pids):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/comm").read_text().startswith(name):
                found.append(pid)
    return found


def cpu_seconds(pid: int) -> float:
    """Return what a process has used so far, its reaped children included; 0 when it is gone."""
    try:
        # The name may hold anything but ends with the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # utime, stime, and the same of children that were waited for: fields 14 to 17.
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid: int) -> float:
    """Return the memory of a process; what it shares with others is shared out (PSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("Pss:")))
