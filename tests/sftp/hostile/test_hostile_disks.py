# SPDX-License-Identifier: Apache-2.0
"""Districts whose files do not come back for seconds.

The hang is real: the test holds kernel locks that work on these files takes, so that threads of
the server wait in a system call, as they would for a disk.
"""

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from nightdrop.sftp.packets import Kind, OpenFlag, Status
from sftp.hostile.conftest import MakeSiege, Withstand
from sftp.hostile.siege import HOSTILE, Siege
from sftp.raw import RawSftp, packet, status_of, string

HANG_SECONDS = 5.0
#: More than a district may have at work at a time.
SESSIONS = 6
#: Ten districts with six sessions each want more threads than any pool should have at work.
MANY = [f"district-{number}.example.org" for number in range(10)]
CREATE = b"\0\0\0\x0a" + bytes(4)


@contextmanager
def hanging(siege: Siege, usernames: list[str]) -> Iterator[None]:
    """Hold what opening and closing takes, and what any change in one entry of /upload takes."""
    with ExitStack() as held:
        for username in usernames:
            for name in ("writers", "locks/entry"):
                path = siege.district(username) / name
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                held.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


class Sufferer:
    """A district with an open file and sessions that want more."""

    def __init__(self, siege: Siege, username: str) -> None:
        self._siege = siege
        self._username = username
        self.is_ready = asyncio.Event()

    async def suffer(self, hangs: asyncio.Event) -> None:
        """Ask for much once the files hang, and see it all done in the end."""
        async with self._siege.connected(self._username) as connection:
            raws = [await RawSftp.greeted(connection) for _ in range(SESSIONS)]
            handle = await raws[0].open_file(b"/upload/a", OpenFlag.WRITE | OpenFlag.CREATE)
            self.is_ready.set()
            await hangs.wait()
            raws[0].send(packet(Kind.CLOSE, handle))
            raws[1].send(packet(Kind.MKDIR, string(b"/upload/entry"), bytes(4)))
            for number, raw in enumerate(raws[2:]):
                name = f"/upload/{number}".encode()
                raw.send(packet(Kind.OPEN, string(name), CREATE))
            replies = await asyncio.wait_for(
                asyncio.gather(*(raw.receive() for raw in raws)), 4 * HANG_SECONDS
            )
            assert [status_of(reply)[0] for reply in replies[:2]] == [Status.OK] * 2
            assert {reply[0] for reply in replies[2:]} == {Kind.HANDLE}
            removed = await raws[1].ask(Kind.RMDIR, string(b"/upload/entry"))
            assert status_of(removed)[0] == Status.OK


def hang_all(siege: Siege, usernames: list[str]) -> Callable[[], Awaitable[None]]:
    async def attack() -> None:
        sufferers = [Sufferer(siege, username) for username in usernames]
        hangs = asyncio.Event()
        async with asyncio.TaskGroup() as at_once:
            for sufferer in sufferers:
                at_once.create_task(sufferer.suffer(hangs))
            for sufferer in sufferers:
                await sufferer.is_ready.wait()
            with hanging(siege, usernames):
                hangs.set()
                await asyncio.sleep(HANG_SECONDS)

    return attack


def test_a_hanging_district_hangs_alone(siege: Siege, withstand: Withstand) -> None:
    assert not withstand(siege, hang_all(siege, [HOSTILE]), seconds=60, growth_mib=16).is_thrown_out


def test_ten_hanging_districts_hang_alone(make_siege: MakeSiege, withstand: Withstand) -> None:
    siege = make_siege(*MANY)
    assert not withstand(siege, hang_all(siege, MANY), seconds=60, growth_mib=32).is_thrown_out


@pytest.mark.soak
def test_a_hundred_hanging_districts_hang_alone(
    make_siege: MakeSiege, withstand: Withstand
) -> None:
    many = [f"district-{number}.example.org" for number in range(100)]
    siege = make_siege(*many, login_slots_per_source=len(many))
    assert not withstand(siege, hang_all(siege, many), seconds=90, growth_mib=96).is_thrown_out
