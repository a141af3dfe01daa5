# SPDX-License-Identifier: Apache-2.0
"""Packets that no client would send: each gets a reply that makes sense, or ends the session.

Sessions begin with honest requests, so that there are files, handles and markers to be wrong
about; then packets are damaged, put together from parts of others, or made of nothing.
"""

import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from nightdrop.sftp.packets import Kind, OpenFlag, PacketMalformed, PacketRefused
from nightdrop.sftp.requests import read_request, read_request_id
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.tree import Tree
from sftp.hostile.fuzzing import LONG_SECONDS, SHORT_SECONDS, try_cases
from sftp.hostile.speaking import Speaker
from sftp.raw import packet, string

EPOCH = "20261123-021407"
NAMES = [b"/", b"/upload", b"/download/x", b"/upload/a", b"/upload/sub", b"/upload/sub/b",
         *(f"/upload/{EPOCH}{rest}".encode()
           for rest in ("", "/students.csv", "/COMPLETE", "/CHECK", "/sub", "/sub/c"))]  # fmt: skip
EXTENSIONS = [b"posix-rename@openssh.com", b"fsync@openssh.com", b"limits@openssh.com",
              b"home-directory", b"expand-path@openssh.com", b"statvfs@openssh.com", b"copy-data",
              b"hardlink@openssh.com", b"x"]  # fmt: skip
#: Numbers at which something may break.
NUMBERS = [0, 1, 63, 255, 2**15, 2**18, 2**31 - 1, 2**31, 2**32 - 1]
LONG_NUMBERS = [*NUMBERS, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
DIRECTORIES = [b"/upload/sub", f"/upload/{EPOCH}".encode(), f"/upload/{EPOCH}/sub".encode()]
SESSIONS_PER_CASE = 4
PACKETS_PER_SESSION = 100
#: Older handles are mostly closed, or of another session.
LATEST_HANDLES = 8

Make = Callable[[], bytes]


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


class Sender:
    """Makes packets; remembers handles that were given out, to use them well and badly."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.handles: list[bytes] = []
        self.sent: list[bytes] = []

    def make(self) -> bytes:
        """Return the next packet."""
        made = self._honest()
        how = self._random.random()
        if how < 0.20:
            made = self._damage(made)
        elif how < 0.23:
            made = self._random.randbytes(self._random.randint(5, 60))
        elif how < 0.27 and self.sent:
            other = self._random.choice(self.sent)
            made = made[: self._at(made)] + other[self._at(other) :]
        self.sent.append(made)
        return made or b"\0"

    def _at(self, data: bytes) -> int:
        return self._random.randint(0, len(data))

    def _damage(self, data: bytes) -> bytes:
        damaged = bytearray(data)
        for _ in range(self._random.randint(1, 3)):
            at = self._random.randrange(len(damaged))
            how = self._random.randrange(5)
            if how == 0:
                damaged[at] ^= 1 << self._random.randrange(8)
            elif how == 1:
                damaged[at:] = damaged[at : at + self._random.randint(0, 8)]
            elif how == 2:
                damaged[at:at] = self._random.randbytes(self._random.randint(1, 8))
            elif how == 3:
                damaged[at : at + 4] = u32(self._random.choice(NUMBERS))
            else:
                damaged[0] = self._random.randrange(256)
            if not damaged:
                return b"\0"
        return bytes(damaged)

    def _name(self) -> bytes:
        return string(self._random.choice(NAMES))

    def _handle(self) -> bytes:
        if self.handles and self._random.random() < 0.9:
            return self._random.choice(self.handles[-LATEST_HANDLES:])
        return string(self._random.randbytes(self._random.choice([0, 16, 16, 300])))

    def _number(self) -> bytes:
        return u32(self._random.choice(NUMBERS))

    def _offset(self) -> bytes:
        few = self._random.randint(0, 50)
        return u64(few if self._random.random() < 0.7 else self._random.choice(LONG_NUMBERS))

    def _attributes(self) -> bytes:
        flags = self._random.choice([0, 0, 0, 1, 2, 4, 8, 15, 0x8000000F, 0xFFFFFFFF])
        parts = u32(flags)
        parts += self._offset() if flags & 1 else b""
        parts += self._number() * 2 if flags & 2 else b""
        parts += self._number() if flags & 4 else b""
        parts += self._number() * 2 if flags & 8 else b""
        return parts

    def _flags(self) -> bytes:
        likely = [OpenFlag.READ, OpenFlag.WRITE | OpenFlag.CREATE, OpenFlag.APPEND]
        return u32(self._random.choice([*likely, self._random.randrange(64), 0xFFFFFFFF]))

    def _honest(self) -> bytes:
        name, handle = self._name, self._handle
        makers: dict[int, Make] = {
            Kind.OPEN: lambda: name() + self._flags() + self._attributes(),
            Kind.CLOSE: handle,
            Kind.READ: lambda: handle() + self._offset() + self._number(),
            Kind.WRITE: lambda: handle() + self._offset() + string(self._random.randbytes(20)),
            Kind.LSTAT: name,
            Kind.FSTAT: handle,
            Kind.SETSTAT: lambda: name() + self._attributes(),
            Kind.FSETSTAT: lambda: handle() + self._attributes(),
            Kind.OPENDIR: name,
            Kind.READDIR: handle,
            Kind.REMOVE: name,
            Kind.MKDIR: lambda: name() + self._attributes(),
            Kind.RMDIR: name,
            Kind.REALPATH: name,
            Kind.STAT: name,
            Kind.RENAME: lambda: name() + name(),
            Kind.EXTENDED: lambda: (
                string(self._random.choice(EXTENSIONS))
                + self._random.choice([name, handle])() + name()
            ),
        }  # fmt: skip
        # More opens than anything else: what nothing is open for is refused alike.
        often = [Kind.OPEN, Kind.OPEN, Kind.OPEN, Kind.CLOSE, Kind.WRITE, Kind.READDIR]
        kind = self._random.choice([*makers, *often])
        return packet(kind, makers[kind](), request_id=self._random.choice(NUMBERS))


def descriptors(district: Path) -> list[str]:
    """Return what is open of a district; servers of other tests may run in this process."""
    places: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            place = descriptor.readlink()
            if place == district or district in place.parents:
                places.append(str(place))
    return places


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "districts")
    tree.prepare()
    return tree


def try_packets(tree: Tree, *, seconds: float) -> int:
    def case(random: Random) -> None:
        district = UUID(int=random.getrandbits(128))
        tree.add_district(district)
        place = tree.district(district).place.path
        sender = Sender(random)
        for _ in range(SESSIONS_PER_CASE):
            have_session(tree.district(district), sender)
        assert descriptors(place) == []
        check_tree(place)
        shutil.rmtree(place)

    return try_cases(case, seconds=seconds)


def have_session(tree: DistrictTree, sender: Sender) -> None:
    """Send packets until there were enough, or one of them ends the session."""
    speaker = Speaker(tree)
    speaker.ask(packet(Kind.INIT, request_id=3))
    for name in DIRECTORIES:
        speaker.ask(packet(Kind.MKDIR, string(name), bytes(4)))
    try:
        with suppress(PacketRefused, PacketMalformed):
            for _ in range(PACKETS_PER_SESSION):
                sent = sender.make()
                reply = speaker.ask(sent)
                assert reply.request_id == read_request_id(sent)
                if reply.kind is Kind.HANDLE:
                    sender.handles.append(reply.handle)
    finally:
        speaker.end()


def check_tree(place: Path) -> None:
    """Check that nothing came about but files, directories, and a lock for each entry there is."""
    assert {path.name for path in place.iterdir()} <= {
        "upload", "upload-processed", "download", "locks", "moved", "writers", "counting"
    }  # fmt: skip
    for path in place.rglob("*"):
        assert path.is_file() or path.is_dir()
        assert not path.is_symlink()
    there = {path.name for path in (place / "upload").iterdir()}
    assert {path.name for path in (place / "locks").iterdir()} <= there
    assert not list((place / "download").iterdir())


def test_any_packet_is_answered(tree: Tree) -> None:
    assert try_packets(tree, seconds=SHORT_SECONDS) > 0


@pytest.mark.soak
@pytest.mark.timeout(LONG_SECONDS * 3)
def test_any_packet_is_answered_for_long(tree: Tree) -> None:
    assert try_packets(tree, seconds=LONG_SECONDS) > 0


def test_any_packet_is_read_or_malformed() -> None:
    """Reading alone is fast, and so meets many more packets than can be carried out."""

    def case(random: Random) -> None:
        sender = Sender(random)
        sender.handles = [string(b"h" * 16)]
        for _ in range(200):
            with suppress(PacketMalformed):
                read_request(sender.make())

    assert try_cases(case, seconds=SHORT_SECONDS / 2) > 0
