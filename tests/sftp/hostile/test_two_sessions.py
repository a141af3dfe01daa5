# SPDX-License-Identifier: Apache-2.0
"""Two sessions of one district, in any order of what they ask for, against the tree's model.

The model and its rules are those of `storage/test_tree_model.py`; here each request goes as a
packet through the handler of one session or the other, and whatever is looked at is looked at
through both.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from nightdrop.core.errors import Refusal
from nightdrop.core.events import EventKind
from nightdrop.core.paths import ServedPath
from nightdrop.sftp.packets import AttributeFlag, Kind, OpenFlag, Status
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.renames import Marked
from nightdrop.storage.writing import Closed, WriteHandle
from sftp.hostile.speaking import Reply, Speaker
from sftp.raw import packet, string
from storage.test_tree_model import Parts, TreeMachine, paths, to

MAX_RESIZED: Final = 9


class Told(Refusal):
    """What a client is told when something is refused."""

    code = "told"


@dataclass(frozen=True)
class Shown:
    """One name of a listing."""

    name: str
    is_directory: bool


class OpenFile:
    """A handle of one session; does what a `WriteHandle` does."""

    def __init__(self, sessions: "TwoSessions", number: int, handle: bytes) -> None:
        self._sessions = sessions
        self.number = number
        self._handle = handle

    def write(self, offset: int, data: bytes) -> None:
        """Write."""
        self._ask(Kind.WRITE, struct.pack(">Q", offset) + string(data))

    def truncate(self, size_bytes: int) -> None:
        """Set the size."""
        self._ask(Kind.FSETSTAT, struct.pack(">IQ", AttributeFlag.SIZE, size_bytes))

    def close(self) -> Closed:
        """Close, and tell from the journal and the sealer's news what that achieved."""
        speaker = self._sessions.speakers[self.number]
        before = len(speaker.events)
        self._ask(Kind.CLOSE, b"")
        written = [event for event in speaker.events[before:]
                   if event.kind is EventKind.FILE_WRITTEN]  # fmt: skip
        return Closed(marker=next(iter(speaker.marked), None), is_whole=bool(written))

    def abandon(self) -> None:
        """End the session that has this open, and with it all that it has open."""
        self._sessions.end(self.number)

    def _ask(self, kind: Kind, body: bytes) -> Reply:
        return self._sessions.ask(kind, self._handle + body, number=self.number)


class TwoSessions:
    """Stands where the model's machine has the tree, and speaks to two sessions instead."""

    def __init__(self, tree: DistrictTree) -> None:
        self._tree = tree
        self.speakers = [self._begin(), self._begin()]
        #: Whose turn it is.
        self.number = 0

    def __getattr__(self, name: str) -> object:
        """Leave sealing and moving away, which no client does, to the tree."""
        return getattr(self._tree, name)

    def _begin(self) -> Speaker:
        speaker = Speaker(self._tree)
        speaker.ask(packet(Kind.INIT, request_id=3))
        return speaker

    def end(self, number: int) -> None:
        """Cut a session off, and begin another in its place."""
        self.speakers[number].end()
        self.speakers[number] = self._begin()

    def ask(self, kind: Kind, body: bytes, *, number: int | None = None) -> Reply:
        """Ask, and raise what is refused."""
        reply = self.speakers[self.number if number is None else number].ask(packet(kind, body))
        if reply.code not in {None, Status.OK, Status.EOF}:
            raise Told(reply.sentence)
        return reply

    def make_directory(self, path: ServedPath) -> None:
        """Ask for a directory."""
        self.ask(Kind.MKDIR, name(path) + bytes(4))

    def remove_directory(self, path: ServedPath) -> None:
        """Ask for its end."""
        self.ask(Kind.RMDIR, name(path))

    def remove_file(self, path: ServedPath) -> None:
        """Ask for a file's end."""
        self.ask(Kind.REMOVE, name(path))

    def rename(self, old: ServedPath, new: ServedPath, *, replace: bool) -> Marked | None:
        """Ask for another name."""
        if replace:
            self.ask(Kind.EXTENDED, string(b"posix-rename@openssh.com") + name(old) + name(new))
        else:
            self.ask(Kind.RENAME, name(old) + name(new))
        marked = self.speakers[self.number].marked
        return Marked(next(iter(marked))) if marked else None

    def open_write(self, path: ServedPath, **options: bool) -> WriteHandle:
        """Open a file."""
        flags = OpenFlag.WRITE
        for option, flag in (("create", OpenFlag.CREATE), ("truncate", OpenFlag.TRUNCATE)):
            flags |= flag if options[option] else 0
        reply = self.ask(Kind.OPEN, name(path) + struct.pack(">II", flags, 0))
        return cast("WriteHandle", OpenFile(self, self.number, reply.handle))

    def open_read(self, path: ServedPath) -> "Contents":
        """Read a file through both sessions."""
        one, other = (self._read(path, number) for number in range(2))
        assert one == other
        return Contents(one)

    def _read(self, path: ServedPath, number: int) -> bytes:
        opened = self.ask(
            Kind.OPEN, name(path) + struct.pack(">II", OpenFlag.READ, 0), number=number
        )
        data = self.ask(Kind.READ, opened.handle + struct.pack(">QI", 0, 1 << 18), number=number)
        self.ask(Kind.CLOSE, opened.handle, number=number)
        return data.body[4:] if data.kind is Kind.DATA else b""

    def _list(self, path: ServedPath, number: int) -> list[Shown]:
        opened = self.ask(Kind.OPENDIR, name(path), number=number)
        shown: list[Shown] = []
        while (page := self.ask(Kind.READDIR, opened.handle, number=number)).kind is Kind.NAME:
            shown += read_names(page.body)
        self.ask(Kind.CLOSE, opened.handle, number=number)
        return shown

    def list(self, path: ServedPath) -> Sequence[Shown]:
        """List a directory through both sessions."""
        one, other = (self._list(path, number) for number in range(2))
        assert sorted(one, key=repr) == sorted(other, key=repr)
        return one


@dataclass(frozen=True)
class Contents:
    """What a file holds; does what a `ReadHandle` does."""

    data: bytes

    def read(self, offset: int, size: int) -> bytes:
        """Return a part."""
        return self.data[offset : offset + size]

    def close(self) -> None:
        """Have nothing to close."""


def name(path: ServedPath) -> bytes:
    return string(path.text.encode())


def read_names(body: bytes) -> list[Shown]:
    """Take a page of a listing apart."""
    (count,) = struct.unpack_from(">I", body)
    shown, at = [], 4
    for _ in range(count):
        texts = []
        for _ in range(2):
            (size,) = struct.unpack_from(">I", body, at)
            texts.append(body[at + 4 : at + 4 + size].decode())
            at += 4 + size
        (permissions,) = struct.unpack_from(">I", body, at + 20)
        shown.append(Shown(texts[0], is_directory=bool(permissions & 0o040000)))
        at += 32
    return shown


class TwoSessionsMachine(TreeMachine):
    """The machine of the tree, whose requests two sessions make in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions = TwoSessions(self.tree)
        self.tree = cast("DistrictTree", self.sessions)

    @rule(number=st.integers(0, 1))
    def take_turn(self, number: int) -> None:
        """Let one of the two make what comes next."""
        self.sessions.number = number

    @precondition(lambda self: not self.world.handles)
    @rule(parts=paths, loser=st.integers(0, 2))
    def write_together(self, parts: Parts, loser: int) -> None:
        """Let both write to one file and perhaps one be cut off: chance alone seldom does."""
        for number in range(2):
            self.sessions.number = number
            self.open_file(parts, truncate=False)
        if loser in {0, 1}:
            self.lose_connection(loser)
        while self.world.handles:
            self.close(0)

    @precondition(lambda self: self.world.handles)
    @rule(number=st.integers(0, 1))
    def lose_connection(self, number: int) -> None:
        """Cut one of the two off: everything that it has open breaks off, and nothing else."""
        for opened in tuple(self.world.handles):
            if cast("OpenFile", opened.handle).number == number:
                self.world.handles.remove(opened)
                opened.file.writers -= 1
                opened.file.is_spoilt = opened.file.writers > 0 or opened.file.is_spoilt
        self.sessions.end(number)

    @precondition(lambda self: self.world.handles)
    @rule(number=st.integers(0, 9), size_bytes=st.integers(0, MAX_RESIZED))
    def resize(self, number: int, size_bytes: int) -> None:
        """Set the size of an open file."""
        opened = self.world.handles[number % len(self.world.handles)]
        opened.handle.truncate(size_bytes)
        opened.file.content = opened.file.content[:size_bytes].ljust(size_bytes, b"\0")

    @rule(parts=paths)
    def stat(self, parts: Parts) -> None:
        """Look at a name through both, whether it is there or not."""
        known = self.world.find(parts)
        for number in range(2):
            reply = self.sessions.speakers[number].ask(packet(Kind.STAT, name(to(parts))))
            assert (reply.kind is Kind.ATTRS) is (known is not None)
            if known is not None and known.inner is None:
                assert struct.unpack_from(">Q", reply.body, 4) == (len(known.content),)


TestTwoSessions = TwoSessionsMachine.TestCase
TestTwoSessions.settings = settings(
    max_examples=30,
    stateful_step_count=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
