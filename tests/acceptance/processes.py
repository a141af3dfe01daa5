# SPDX-License-Identifier: Apache-2.0
"""Processes that are not our children, and waiting.

Nothing in these tests waits for a time to pass: what waits, waits for something to be so,
and fails after `PATIENCE_SECONDS`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

#: How long anything may take. A killed worker's job is taken up again after 6 to 11 seconds.
PATIENCE_SECONDS = 60
_LOOK_SECONDS = 0.05
_PROC = Path("/proc")

Found = TypeVar("Found")


def wait_until(
    look: Callable[[], Found | None],
    *,
    what: str,
    why: Callable[[], str] = lambda: "",
    seconds: float = PATIENCE_SECONDS,
) -> Found:
    """Look again and again until there is something to be seen, and return that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(_LOOK_SECONDS)
    raise AssertionError(f"waited in vain for {what}\n{why()}")


def kill_processes(*pids: int) -> None:
    """Kill processes, and wait until they are gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(map(is_gone, pids)), what="the end of processes")


def is_gone(pid: int) -> bool:
    """Whether a process has ended, also when nobody has taken its exit status."""
    return _read_processes().get(pid, (0, "Z"))[1] == "Z"


def processes_of(parent: int) -> list[int]:
    """Return the living children of a process."""
    found = _read_processes()
    return [pid for pid, (ppid, state) in found.items() if ppid == parent and state != "Z"]


def _read_processes() -> dict[int, tuple[int, str]]:
    """Return the parent and the state, ``Z`` for one that has ended, of every process."""
    found = {}
    if not (_PROC / "self").exists():
        command = ["ps", "-A", "-o", "pid=,ppid=,state="]
        for line in subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.splitlines():
            pid, parent, state = line.split()
            found[int(pid)] = (int(parent), state[0])
        return found
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                # The name of the program, in parentheses, may hold anything.
                state, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                found[int(entry.name)] = (int(parent), state)
    return found
