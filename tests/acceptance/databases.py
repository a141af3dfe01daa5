# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL that stands still or stays away, and the journal that waits for it meanwhile."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acceptance.processes import wait_until
from acceptance.running import Nightdrop
from nightdrop.core.events import Event, read_event

#: What `serve` logs each time it begins to start PostgreSQL again.
_TRIED = '"event": "postgres-ended"'
_OPEN, _CLOSED = 0o700, 0o000


@contextmanager
def standing_still(nightdrop: Nightdrop) -> Iterator[None]:
    """Have PostgreSQL answer nobody, neither old connections nor new ones."""
    pids = nightdrop.postgres_processes()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def away(nightdrop: Nightdrop) -> Iterator[None]:
    """Have no PostgreSQL at all: its data cannot be reached, so that `serve` starts it in vain."""
    data = nightdrop.postgres.places.data
    tries = nightdrop.log().count(_TRIED)
    data.chmod(_CLOSED)
    try:
        killed = nightdrop.kill_postgres()
        # More than once: the first start was in vain then.
        wait_until(
            lambda: nightdrop.log().count(_TRIED) > tries + 1,
            what="serve to try",
            why=nightdrop.log,
        )
        yield
        assert not nightdrop.postgres.is_running()
    finally:
        data.chmod(_OPEN)
    nightdrop.wait_for_postgres(other_than=killed)


def read_journal(directory: Path) -> list[Event]:
    """Return all events that are in the journal's files, also those that were handed over."""
    lines = [line for file in directory.glob("*.jsonl") for line in file.read_bytes().splitlines()]
    return [read_event(line) for line in lines]


def journal_bytes(directory: Path) -> int:
    """Return how much room the journal takes."""
    return sum(file.stat().st_size for file in directory.iterdir())
