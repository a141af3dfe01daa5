# SPDX-License-Identifier: Apache-2.0
"""The only place where the event loop and code that waits meet.

- Work on files runs in a pool of threads, a few at a time for one district, so that one
  district whose disk hangs holds a few threads and not all.
- Events are appended to the journal by a thread of its own when they come from the loop, and
  at once when they come from a thread that is already off it.
- One thread brings key snapshots in; one ships the journal to the database. Both go on for
  ever: losing the database means waiting, never ending.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

import structlog

from nightdrop.core.accounts import Snapshot
from nightdrop.core.events import Event
from nightdrop.sftp.snapshot import SnapshotHolder
from nightdrop.storage.journal import Journal

log = structlog.get_logger()

Result = TypeVar("Result")

#: Brings snapshots until `stop` is set; see services.keys.watch_snapshot.
Watch = Callable[[threading.Event], Iterator[Snapshot]]
#: Hands events over for good, or raises; see services.events.ship.
Ship = Callable[[Sequence[Event]], None]

_THREADS: Final = 32
_THREADS_PER_DISTRICT: Final = 4
#: Events handed over in one go.
_BATCH_EVENTS: Final = 500
#: The shipper looks at the journal this often even when nothing was appended here: another
#: process of this node may have died and left events behind.
_LOOK_SECONDS: Final = 5.0
#: A thread that waits for a database which does not answer is left behind.
_JOIN_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LAST_PAUSE_SECONDS: Final = 30.0


class Bridge:
    """Threads beside the loop. Make it, use it and close it on the loop's thread."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")
        self._journal_pool = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._lanes: dict[UUID, asyncio.Semaphore] = {}
        self._threads: list[threading.Thread] = []

    async def run(self, district: UUID, work: Callable[[], Result]) -> Result:
        """Do `work` on a district's files in a thread, and return what it returns."""
        lane = self._lanes.setdefault(district, asyncio.Semaphore(_THREADS_PER_DISTRICT))
        async with lane:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def record(self, event: Event) -> None:
        """Append an event from the loop: it is written soon, in order."""
        self._journal_pool.submit(self.append, event)

    def append(self, event: Event) -> None:
        """Append an event from a thread that may wait.

        A journal that cannot be written does not stop uploads: what is lost is counted.
        """
        before = self._journal.dropped
        self._journal.append(event)
        if self._journal.dropped > before:
            log.error("event-lost", kind=event.kind, dropped=self._journal.dropped)

    def follow_keys(
        self, watch: Watch, holder: SnapshotHolder, *, on_change: Callable[[], None]
    ) -> None:
        """Keep `holder` current in a thread; `on_change` is called on the loop each time."""
        loop = asyncio.get_running_loop()

        def follow() -> None:
            for snapshot in watch(self._stop):
                try:
                    holder.replace(snapshot)
                except OSError as fault:
                    log.warning("snapshot-not-copied", fault=type(fault).__name__)
                if self._stop.is_set():
                    return
                loop.call_soon_threadsafe(on_change)

        self._start("keys", partial(self._repeat, "keys-feed-failed", follow))

    def ship_events(self, ship: Ship) -> None:
        """Hand the journal over to `ship`, batch by batch, in a thread."""
        self._start("shipper", partial(self._repeat, "shipping-failed", partial(self._ship, ship)))

    def close(self) -> None:
        """Finish what was begun, then end all threads."""
        self._stop.set()
        self._pool.shutdown(wait=True)
        self._journal_pool.shutdown(wait=True)
        self._journal.wake()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        self._journal.close()

    def _start(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _repeat(self, complaint: str, work: Callable[[], None]) -> None:
        """Do `work` again whenever it ends or fails, with pauses that grow."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                work()
                pause = _FIRST_PAUSE_SECONDS
            except Exception as fault:  # noqa: BLE001 - whatever the database throws, go on
                log.warning(complaint, fault=type(fault).__name__, pause_seconds=pause)
            self._stop.wait(pause)
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    def _ship(self, ship: Ship) -> None:
        """Ship until told to stop, then once more what is left."""
        while not self._stop.is_set():
            if not self._ship_batch(ship):
                self._journal.wait(_LOOK_SECONDS)
        self._ship_batch(ship)

    def _ship_batch(self, ship: Ship) -> bool:
        """Ship one batch; return whether there was anything to ship."""
        batch = self._journal.pending(_BATCH_EVENTS)
        if not batch.events:
            return False
        ship(batch.events)
        batch.commit()
        return True
