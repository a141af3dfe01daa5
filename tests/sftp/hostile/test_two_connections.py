# SPDX-License-Identifier: Apache-2.0
"""Two connections of one district that do whatever comes to their mind at the same time.

In what order things happen nobody knows, so that no model can say what must come of it. What
must hold is known all the same: a file whose close was acknowledged is there, whole and once, until
somebody removes it; one that was not closed never counts as whole; what was sealed stays.
"""

import asyncio
import stat
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import asyncssh
import pytest

from nightdrop.core.events import EventKind
from nightdrop.sftp.packets import Kind, OpenFlag, Status
from nightdrop.storage.seal import sealed_records
from sftp.harness import ClientKey, MakeServer, Nightdrop, connect
from sftp.hostile.fuzzing import LONG_SECONDS, SHORT_SECONDS, try_cases
from sftp.hostile.speaking import OUR_FAULT
from sftp.raw import RawSftp, status_of, string

DIRECTORIES = ["20261123-021407", "20261124-021407", "20261125-021407", "one", "two"]
CREATE = struct.pack(">II", OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE, 0)
STEPS = 80
WHOLE = {0o640, 0o641, 0o440}


@dataclass
class Record:
    """What two sessions were told. Every file has a name that no other ever has."""

    contents: dict[str, bytes] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    #: What was refused, and how often.
    told: Counter[str] = field(default_factory=Counter)


class Actor:
    """One of the two: connects, does things, goes, and comes back."""

    def __init__(
        self, server: Nightdrop, key: ClientKey, username: str, *, random: Random, record: Record
    ) -> None:
        self._server = server
        self._key = key
        self._username = username
        self._random = random
        self._record = record
        self._open: dict[str, bytes] = {}
        self._seen: list[str] = []
        self._raw: RawSftp

    async def act(self) -> None:
        """Have a few connections, one after the other."""
        for _ in range(3):
            async with connect(self._server, self._key, username=self._username) as connection:
                self._raw = await RawSftp.greeted(connection)
                for _ in range(STEPS // 3):
                    await self._random.choice(self._deeds)()
                await self._leave(connection)

    async def _leave(self, connection: asyncssh.SSHClientConnection) -> None:
        self._open.clear()
        if self._random.random() < 0.5:
            connection.abort()
        else:
            self._raw._writer.write_eof()
            await self._raw.is_ended()

    @property
    def _deeds(self) -> list[Callable[[], Awaitable[None]]]:
        often = [self._begin_file, self._end_file, self._begin_file, self._end_file]
        return [*often, self._make, self._mark, self._move, self._move_directory, self._remove,
                self._remove_directory, self._look]  # fmt: skip

    async def _ask(self, kind: int, *body: bytes) -> bytes:
        reply = await self._raw.ask(kind, *body)
        if reply[0] == Kind.STATUS:
            code, sentence = status_of(reply)
            assert OUR_FAULT not in sentence
            self._record.told[sentence] += code != Status.OK
        return reply

    async def _does(self, kind: int, *body: bytes) -> bool:
        return status_of(await self._ask(kind, *body))[0] == Status.OK

    def _place(self, *rest: str) -> bytes:
        return string("/".join(["/upload", self._random.choice(DIRECTORIES), *rest]).encode())

    async def _make(self) -> None:
        await self._ask(Kind.MKDIR, self._place(), bytes(4))

    async def _begin_file(self) -> None:
        name = f"{self._random.getrandbits(64):x}.csv"
        reply = await self._ask(Kind.OPEN, self._place(name), CREATE)
        if reply[0] == Kind.HANDLE:
            content = name.encode() * self._random.randint(0, 3)
            assert await self._does(Kind.WRITE, reply[5:], bytes(8), string(content))
            self._open[name] = reply[5:]
            self._record.contents[name] = content
            self._seen.append(name)

    async def _end_file(self) -> None:
        if self._open:
            name = self._random.choice(list(self._open))
            handle = self._open.pop(name)
            assert await self._does(Kind.CLOSE, handle), "nothing of this may fail"
            self._record.closed.add(name)

    async def _mark(self) -> None:
        reply = await self._ask(Kind.OPEN, self._place("COMPLETE"), struct.pack(">II", 0x0A, 0))
        if reply[0] == Kind.HANDLE:
            await self._ask(Kind.CLOSE, reply[5:])

    async def _move(self) -> None:
        if self._seen:
            name = self._random.choice(self._seen)
            await self._ask(Kind.RENAME, self._place(name), self._place(name))

    async def _move_directory(self) -> None:
        await self._ask(Kind.RENAME, self._place(), self._place())

    async def _remove(self) -> None:
        if self._seen:
            name = self._random.choice(self._seen)
            if await self._does(Kind.REMOVE, self._place(name)):
                self._record.removed.add(name)

    async def _remove_directory(self) -> None:
        await self._ask(Kind.RMDIR, self._place())

    async def _look(self) -> None:
        reply = await self._ask(Kind.OPENDIR, self._place())
        if reply[0] == Kind.HANDLE:
            await self._ask(Kind.READDIR, reply[5:])
            await self._ask(Kind.CLOSE, reply[5:])


def check(server: Nightdrop, username: str, record: Record) -> None:
    """Hold what is on the disk against what two sessions were told."""
    tree = server.tree.district(server.accounts[username].district)
    sealed = list(sealed_records(tree))
    for seal in sealed:
        folder = server.upload(username, seal.epoch)
        found = {path.name: path.stat().st_size for path in folder.rglob("*.csv")}
        assert {Path(file.name).name: file.size_bytes for file in seal.files} == found
        assert found.keys() <= record.closed - record.removed
    files: dict[str, Path] = {}
    for path in server.upload(username).rglob("*.csv"):
        assert path.name not in files, "one file has two names"
        files[path.name] = path
    assert record.closed - record.removed <= files.keys(), "what was acknowledged is gone"
    assert not record.removed & files.keys(), "what was removed is there"
    for name, path in files.items():
        is_whole = stat.S_IMODE(path.stat().st_mode) in WHOLE
        assert is_whole is (name in record.closed), name
        if is_whole:
            assert path.read_bytes() == record.contents[name]


def act_together(server: Nightdrop, key: ClientKey, *, seconds: float) -> set[str]:
    """Let two act together, again and again; return the files that were closed."""
    closed: set[str] = set()

    def case(random: Random) -> None:
        username = f"district-{random.getrandbits(40):x}.example.org"
        server.add(username, key)
        record = Record()

        async def work() -> None:
            async with asyncio.TaskGroup() as at_once:
                for _ in range(2):
                    own = Random(random.getrandbits(64))
                    actor = Actor(server, key, username, random=own, record=record)
                    at_once.create_task(actor.act())

        asyncio.run(work())
        check(server, username, record)
        # By chance there may be none in one case: no directory, or all of them sealed at once.
        closed.update(record.closed)

    assert try_cases(case, seconds=seconds) > 0
    assert server.of_kind(EventKind.SEALED), "nothing was ever sealed"
    return closed


def test_two_connections_at_once(make_server: MakeServer, apple_key: ClientKey) -> None:
    assert act_together(make_server(seal_quiet_seconds=0.05), apple_key, seconds=SHORT_SECONDS)


@pytest.mark.soak
@pytest.mark.timeout(LONG_SECONDS * 3)
def test_two_connections_at_once_for_long(make_server: MakeServer, apple_key: ClientKey) -> None:
    assert act_together(make_server(seal_quiet_seconds=0.05), apple_key, seconds=LONG_SECONDS)
