# SPDX-License-Identifier: Apache-2.0
"""Work on files: who waits for whom when a disk hangs."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from nightdrop.sftp.bridge import Bridge
from nightdrop.storage.journal import Journal

PATIENCE_SECONDS = 20
#: Many more than there are active threads, at four a district.
HANGING = 40


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Make a journal, which every bridge has."""
    return Journal(tmp_path)


@pytest.fixture
def disk() -> Iterator[threading.Event]:
    """Make what work waits for; in the end it never hangs."""
    event = threading.Event()
    yield event
    event.set()


def test_however_many_disks_hang_another_district_is_served(
    journal: Journal, disk: threading.Event
) -> None:
    async def work() -> None:
        bridge = Bridge(journal)
        stuck = [
            asyncio.create_task(bridge.run(district, disk.wait))
            for district in [uuid4() for _ in range(HANGING)]
            for _ in range(6)
        ]
        try:
            done = await asyncio.wait_for(bridge.run(uuid4(), lambda: "done"), PATIENCE_SECONDS)
            assert done == "done"
            assert not any(task.done() for task in stuck)
        finally:
            disk.set()
            await asyncio.gather(*stuck)
            await asyncio.to_thread(bridge.close)

    asyncio.run(work())


def test_one_district_has_four_threads(journal: Journal, disk: threading.Event) -> None:
    running = threading.Semaphore(0)

    def hang() -> None:
        running.release()
        disk.wait()

    async def work() -> None:
        bridge = Bridge(journal)
        district = uuid4()
        tasks = [asyncio.create_task(bridge.run(district, hang)) for _ in range(6)]
        for _ in range(4):
            assert await asyncio.to_thread(running.acquire, timeout=PATIENCE_SECONDS)
        # What else was asked for has had its turn on the loop, and waits.
        await bridge.run(uuid4(), lambda: None)
        assert not running.acquire(blocking=False)
        disk.set()
        await asyncio.gather(*tasks)
        assert running.acquire(blocking=False)
        await asyncio.to_thread(bridge.close)

    asyncio.run(work())
