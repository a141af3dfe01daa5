# SPDX-License-Identifier: Apache-2.0
"""A server under attack, and another district that goes on listing its files beside it.

The server, the neighbour and the attacker are three processes: nobody's memory or waiting is
taken for another's. What is promised is a neighbour's `ls` under 100 ms (p95) on a quiet machine;
on a busy one it may take five times what it took there just before.
"""

import asyncio
import json
import math
import resource
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncssh

from nightdrop.config import Config
from nightdrop.core.accounts import Account, Snapshot, write_snapshot
from nightdrop.storage.tree import Tree
from sftp.harness import ClientKey
from sftp.hostile.list_always import INTERVAL_SECONDS

#: What is promised on a quiet machine is 0.1 s, and `bench/hang.py` measures that. Here other
#: tests run beside, on two processors, three of whose programs are this test's own: a server
#: that lets itself be stopped makes others wait for seconds.
BEARABLE_SECONDS = 0.3
BUSY_FACTOR = 5
_BASELINE_SECONDS = 1.0
#: An attack that is over sooner is measured for this long.
_SHORTEST_SECONDS = 0.5
#: A neighbour that waits longer for a listing has lost whatever is measured.
_STARVED_SECONDS = 60.0
#: Listings before that, which meet a server's first uses of everything.
_WARM_UP_LISTINGS = 10
_LOOK_SECONDS = 0.02

MEBIBYTE = 1024 * 1024
HERE = Path(__file__).parent
VICTIM = "birchhill.org"
HOSTILE = "applegrove.org"

Attack = Callable[[], Awaitable[object]]


@dataclass
class Neighbour:
    """The district beside: `listings` has when each began and ended."""

    process: "subprocess.Popen[str]"
    listings: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            begun, ended = map(float, line.split())
            self.listings.append((begun, ended))

    def between(self, begin: float, end: float) -> list[float]:
        """Return how long each listing took that was under way in that time.

        One that took a second stands for the forty that would have been begun meanwhile, had
        they not had to wait for it: else a server that answers nobody for five seconds would
        spoil one listing among many.
        """
        self._wait(lambda: bool(self.listings) and self.listings[-1][0] >= end)
        took = [(min(ended, end) - begun, ended - begun)
                for begun, ended in self.listings if ended >= begin and begun < end]  # fmt: skip
        return [
            whole - wait * INTERVAL_SECONDS
            for inside, whole in took
            for wait in range(max(1, math.ceil(inside / INTERVAL_SECONDS)))
        ]

    def warm_up(self) -> None:
        """Wait until the first listings, which meet first uses of everything, are over."""
        self._wait(lambda: len(self.listings) > _WARM_UP_LISTINGS)

    def _wait(self, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _STARVED_SECONDS
        while not is_there():
            assert self.process.poll() is None, "the neighbour lost its connection"
            assert time.monotonic() < deadline, "the neighbour gets no listing any more"
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass(frozen=True)
class Outcome:
    """What an attack did to others. Units: seconds, and bytes of the server's memory."""

    baseline: float
    under_attack: float
    worst: float
    growth_bytes: int
    #: Whether the server put an end to it.
    is_thrown_out: bool

    @property
    def is_bearable(self) -> bool:
        """Whether others hardly noticed."""
        return self.under_attack <= max(BEARABLE_SECONDS, BUSY_FACTOR * self.baseline)

    def describe(self) -> str:
        """Return one line of a report."""
        return (
            f"p95 {self.baseline * 1000:.1f} ms before, {self.under_attack * 1000:.1f} ms under"
            f" attack (worst {self.worst * 1000:.0f} ms), memory"
            f" {self.growth_bytes / MEBIBYTE:+.1f} MiB"
            f"{', thrown out' if self.is_thrown_out else ''}"
        )


@dataclass
class Siege:
    """A running server, its accounts, and a neighbour."""

    config: Config
    accounts: dict[str, Account]
    keys: dict[str, ClientKey]
    server: "subprocess.Popen[str]"
    port: int = 0
    neighbour: Neighbour | None = None

    # Reaching the server.

    @asynccontextmanager
    async def connected(
        self, username: str = HOSTILE, *, address: str = "127.0.0.1"
    ) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """Connect as an account; however the connection ends, that is no fault of the test."""
        connection = await asyncssh.connect(
            "127.0.0.1", self.port, username=username, client_keys=[self.keys[username].key],
            known_hosts=None, config=None, agent_path=None, local_addr=(address, 0),
            keepalive_interval=0,
        )  # fmt: skip
        try:
            yield connection
        finally:
            connection.abort()

    def upload(self, username: str, *parts: str) -> Path:
        """Return where a path below /upload of an account is on disk."""
        return self.district(username).joinpath("upload", *parts)

    def district(self, username: str) -> Path:
        """Return where a district's directories are on disk."""
        return self.config.tree / str(self.accounts[username].district)

    def shipped(self) -> list[str]:
        """Return the kinds of all events so far, as far as they were shipped."""
        path = self.config.home / "shipped"
        return path.read_text().splitlines() if path.exists() else []

    # Measuring.

    def memory(self) -> int:
        """Return the bytes of memory that the server has in use."""
        pages = int(Path(f"/proc/{self.server.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def endure(self, attack: Attack, *, seconds: float) -> Outcome:
        """Measure, attack for a while, or until the attack is over, and measure meanwhile.

        An attacker who is thrown out has lost; the time is measured to its end all the same.
        """
        neighbour = self._begin_neighbour()
        before = self.memory()
        quiet = time.monotonic()
        begin = quiet + _BASELINE_SECONDS
        baseline = percentile(neighbour.between(quiet, begin), 0.95)
        begin = time.monotonic()
        with self._peak_memory() as peak:
            is_thrown_out = asyncio.run(_attack_for(attack, seconds))
            end = max(time.monotonic(), begin + _SHORTEST_SECONDS)
            took = neighbour.between(begin, end)
        assert self.server.poll() is None, "the server is gone"
        return Outcome(
            baseline=baseline,
            under_attack=percentile(took, 0.95),
            worst=max(took),
            growth_bytes=max(peak) - before,
            is_thrown_out=is_thrown_out,
        )

    def _begin_neighbour(self) -> Neighbour:
        if self.neighbour is None:
            self.neighbour = Neighbour(
                subprocess.Popen(
                    [sys.executable, str(HERE / "list_always.py"), str(self.port), VICTIM,
                     str(self.keys[VICTIM].path), "127.0.0.2"],
                    stdout=subprocess.PIPE, text=True,
                )
            )  # fmt: skip
            self.neighbour.warm_up()
        return self.neighbour

    @contextmanager
    def _peak_memory(self) -> Iterator[list[int]]:
        seen = [self.memory()]
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(_LOOK_SECONDS):
                seen.append(self.memory())

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield seen
        finally:
            stop.set()
            thread.join()

    def stop(self) -> None:
        """End the server and the neighbour."""
        if self.neighbour is not None:
            self.neighbour.stop()
        self.server.kill()
        self.server.communicate()


async def _attack_for(attack: Attack, seconds: float) -> bool:
    """Let an attack go on for that long if it goes on for ever, else to its end.

    Returns: whether the server put an end to it.
    """
    task = asyncio.ensure_future(attack())
    await asyncio.wait([task], timeout=seconds)
    is_endless = not task.done()
    is_thrown_out = False
    task.cancel()
    try:
        await task
    except* asyncio.CancelledError:
        pass
    except* (ConnectionError, asyncssh.Error, asyncio.IncompleteReadError):
        # Whoever is thrown out learns it in one of these ways.
        is_thrown_out = not is_endless
    return is_thrown_out


def percentile(values: list[float], share: float) -> float:
    """Return the value below which that share of them lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def begin_siege(
    config: Config, keys: dict[str, ClientKey], *, settings: dict[str, object] | None = None
) -> Siege:
    """Start a server that knows these accounts, each a district of its own."""
    tree = Tree(config.tree)
    tree.prepare()
    accounts: dict[str, Account] = {}
    for username, key in keys.items():
        district: UUID = uuid4()
        tree.add_district(district)
        accounts[username] = Account(district, username, keys=(key.installed(),))
    snapshot = Snapshot.of(*accounts.values(), taken_at=datetime.now(UTC))
    config.snapshot_file.parent.mkdir(parents=True, exist_ok=True)
    config.snapshot_file.write_bytes(write_snapshot(snapshot))
    server = subprocess.Popen(
        [sys.executable, str(HERE / "serve_several.py"), str(config.home),
         json.dumps(settings or {})],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    siege = Siege(config, accounts, keys, server)
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        siege.stop()
        message = "the server did not start"
        raise RuntimeError(message)
    siege.port = int(line)
    for number in range(20):
        siege.upload(VICTIM, f"file-{number}.csv").write_bytes(b"x")
    return siege
