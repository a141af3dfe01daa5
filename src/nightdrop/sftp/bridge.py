# SPDX-License-Identifier: Apache-2.0
"""The only place where the event loop and code that waits meet.

- Work on files runs in a pool of threads: a few at a time for one district, and a bounded
  number for all. Work that does not come back, because its disk hangs, stops counting, so
  that however many districts' disks hang, the others find a thread.
- Events are appended to the journal by a thread of its own when they come from the loop, and
  at once when they come from a thread that is already off it.
- One thread brings key snapshots in; one ships the journal to the database. Both go on for
  ever: losing the database means waiting, never ending.
- One thread looks whether the host keys on the shared tree were changed.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

import structlog

from nightdrop.core.accounts import Snapshot
from nightdrop.core.errors import Refusal
from nightdrop.core.events import Event
from nightdrop.sftp.hostkeys import HostKeys
from nightdrop.sftp.snapshot import SnapshotHolder
from nightdrop.storage.journal import Journal

log = structlog.get_logger()

Result = TypeVar("Result")

#: Brings snapshots until `stop` is set; see services.keys.watch_snapshot.
Watch = Callable[[threading.Event], Iterator[Snapshot]]
#: Hands events over for good, or raises; see services.events.ship.
Ship = Callable[[Sequence[Event]], None]

#: Threads at work on files at a time; more would only wait for each other.
_ACTIVE_THREADS: Final = 32
_THREADS_PER_DISTRICT: Final = 4
#: Work that takes longer waits for a disk and not for us.
_STUCK_SECONDS: Final = 0.01
#: All threads, those that hang included. They are made as they are needed.
_THREADS: Final = 1024
#: Events handed over in one go.
_BATCH_EVENTS: Final = 500
#: The shipper looks at the journal this often even when nothing urgent was appended: what is
#: not urgent waits for this, and another process of this node may have died.
_LOOK_SECONDS: Final = 1.0
#: How often the host keys are looked at. All processes of all nodes do that.
_HOST_KEYS_SECONDS: Final = 2.0
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
        self._slots = asyncio.Semaphore(_ACTIVE_THREADS)
        self._lanes: dict[UUID, asyncio.Semaphore] = {}
        self._threads: list[threading.Thread] = []

    async def run(self, district: UUID, work: Callable[[], Result]) -> Result:
        """Do `work` on a district's files in a thread, and return what it returns."""
        lane = self._lanes.setdefault(district, asyncio.Semaphore(_THREADS_PER_DISTRICT))
        async with lane, self._active():
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    @asynccontextmanager
    async def _active(self) -> AsyncIterator[None]:
        """Hold one of the slots for active threads, at most as long as nothing seems stuck."""
        await self._slots.acquire()
        is_held = True

        def give_back() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._slots.release()

        stuck = asyncio.get_running_loop().call_later(_STUCK_SECONDS, give_back)
        try:
            yield
        finally:
            stuck.cancel()
            give_back()

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

    def follow_host_keys(
        self, look: Callable[[], HostKeys | None], *, on_change: Callable[[HostKeys], None]
    ) -> None:
        """Look again and again, in a thread; `on_change` is called on the loop with what is new.

        While the keys cannot be read, the server goes on with those that it has.
        """
        loop = asyncio.get_running_loop()

        def follow() -> None:
            told = ""
            while not self._stop.wait(_HOST_KEYS_SECONDS):
                try:
                    changed = look()
                    told = ""
                except (Refusal, OSError) as fault:
                    if str(fault) != told:
                        log.warning("host-keys-not-read", fault=str(fault))
                    told = str(fault)
                    continue
                if changed is not None and not self._stop.is_set():
                    loop.call_soon_threadsafe(on_change, changed)

        self._start("host-keys", partial(self._repeat, "host-keys-feed-failed", follow))

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
        self._thin_journal()
        batch = self._journal.pending(_BATCH_EVENTS)
        if not batch.events:
            return False
        ship(batch.events)
        batch.commit()
        return True

    def _thin_journal(self) -> None:
        """Keep the journal within bounds, and say so: here alone does anybody hear of it."""
        thinning = self._journal.thin(now=datetime.now(UTC))
        if thinning is None:
            return
        if thinning.dropped:
            log.warning(
                "journal-thinned",
                dropped=thinning.dropped,
                first=thinning.first,
                last=thinning.last,
                size_bytes=thinning.size_bytes,
            )
        if thinning.is_too_large:
            log.error("journal-too-large", size_bytes=thinning.size_bytes)
