# SPDX-License-Identifier: Apache-2.0
"""Paths that no client would send: none of them leads out of its district.

What is asked is the real file system: every descriptor that a request opens is looked up in
/proc, and around the district lie things that must neither be seen nor change. Links, which no
client can make, lie about in the tree and lead out of it.
"""

import shutil
import struct
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from nightdrop.core.paths import MAX_DEPTH, MAX_NAME_BYTES, SERVED, PathRefused, read_path
from nightdrop.sftp.packets import Kind, OpenFlag
from nightdrop.storage.confine import Confinement, detect_confinement
from nightdrop.storage.tree import Tree
from sftp.hostile.fuzzing import LONG_SECONDS, SHORT_SECONDS, try_cases
from sftp.hostile.speaking import Speaker
from sftp.raw import packet, string

CONFINEMENTS = sorted({Confinement.WALK, detect_confinement()})
SECRET = b"nobody of this district may read this"
APPLE, BIRCH = UUID(int=1), UUID(int=2)
PATHS_PER_CASE = 60

WORDS = [b"upload", b"upload", b"upload", b"upload-processed", b"download", b"sub", b"file",
         b"out", b"up", b"root", b"loop", b"locks", b"moved", b"writers", b"shared", b"proc",
         str(BIRCH).encode(), b"secret", b"20261123-021407", b"COMPLETE", b"etc", b"passwd",
         b"..", b"..", b".", b"", b"...", b".. ", b" ..", b"..\\", b"~", b"%2e%2e",
         b"\xc0\xae\xc0\xae", "\uff0e\uff0e".encode(), "\uff0e\uff0e\uff0f".encode(),
         "a\u0301".encode(), "\u202e".encode(), b"CON", b"nul", b"-rf", b"*", b"$HOME",
         b"a" * 255, b"a" * 256, "ü".encode() * 127]  # fmt: skip
READS = struct.pack(">II", OpenFlag.READ, 0)
WRITES = struct.pack(">II", OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE, 0)


def make_path(random: Random) -> bytes:
    """Return a path of words that mean something here, with accidents."""
    parts = [random.choice(WORDS) for _ in range(random.choice([1, 2, 2, 3, 3, 4, 6, 20, 60]))]
    path = random.choice([b"/", b"//", b"", b"/upload/", b"/upload/"]) + b"/".join(parts)
    for _ in range(random.choice([0, 0, 0, 1, 2])):
        at = random.randint(0, len(path))
        path = (
            path[:at]
            + random.choice([b"\0", b"/", b".", b"\xff", b"\n", random.randbytes(3)])
            + path[at:]
        )
    return random.randbytes(random.randint(0, 40)) if random.random() < 0.03 else path


def test_a_path_is_refused_or_names_one_place() -> None:
    def case(random: Random) -> None:
        for _ in range(200):
            raw = make_path(random)
            try:
                path = read_path(raw)
            except PathRefused:
                continue
            assert len(path.parts) <= MAX_DEPTH
            assert not path.parts or path.parts[0] in SERVED
            assert not {"", ".", ".."} & set(path.parts)
            assert all(0 < len(part.encode()) <= MAX_NAME_BYTES for part in path.parts)
            assert not any(unicodedata.category(each) == "Cc" for each in path.text)
            # What is shown of it means the same again, however it is put.
            assert read_path(path.text.encode()) == path
            assert read_path(b"./" + path.text.encode() + b"/./") == path

    assert try_cases(case, seconds=SHORT_SECONDS / 2) > 0


@dataclass(frozen=True)
class Ground:
    """Two districts, and what lies around them."""

    tree: Tree
    outside: Path

    def district(self, district: UUID) -> Path:
        return self.tree.district(district).place.path

    def prepare(self) -> None:
        """Fill the one district, with links that lead out of it."""
        upload = self.district(APPLE) / "upload"
        (upload / "sub" / "sub").mkdir(parents=True)
        for place in (upload, upload / "sub"):
            (place / "file").write_bytes(b"apple's own")
            (place / "out").symlink_to(self.outside)
            (place / "up").symlink_to("../..")
            (place / "root").symlink_to("/")
            (place / "loop").symlink_to("loop")
            (place / "proc").symlink_to("/proc/self/fd")
            (place / "secret").symlink_to(self.outside / "secret")

    def clear(self) -> None:
        """Empty the one district, whatever has become of it."""
        shutil.rmtree(self.district(APPLE))
        self.tree.add_district(APPLE)

    def around(self) -> dict[str, bytes]:
        """Return all that is not the one district's."""
        places = [self.outside, self.district(BIRCH), self.tree.shared]
        return {
            str(path): path.read_bytes() if path.is_file() else b""
            for place in places
            for path in (place, *place.rglob("*"))
        }


@pytest.fixture(params=CONFINEMENTS)
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    tree = Tree(tmp_path / "districts", confinement=Confinement(request.param))
    tree.prepare()
    (tree.shared / "secret").write_bytes(SECRET)
    for district in (APPLE, BIRCH):
        tree.add_district(district)
    outside = tmp_path / "outside"
    outside.mkdir()
    ground = Ground(tree, outside)
    for place in (outside, ground.district(BIRCH) / "upload"):
        (place / "secret").write_bytes(SECRET)
    return ground


def open_places(own: Path) -> dict[str, str]:
    """Return where all open descriptors lead, but for those of servers of other tests.

    `own` is this test's directory; theirs lie beside it.
    """
    found: dict[str, str] = {}
    for descriptor in Path("/proc/self/fd").iterdir():
        # The one that this very listing needs is gone when it is looked at.
        with suppress(FileNotFoundError):
            place = descriptor.readlink()
            if own in place.parents or own.parent not in place.parents:
                found[descriptor.name] = str(place)
    return found


def requests_about(random: Random) -> list[bytes]:
    """Return one of each request that has a path in it."""
    path, other = string(make_path(random)), string(make_path(random))
    attributes = struct.pack(">IQII", 9, 5, 1, 1)
    made = [
        packet(Kind.OPEN, path, READS),
        packet(Kind.OPEN, path, WRITES),
        packet(Kind.OPENDIR, path),
        packet(Kind.STAT, path),
        packet(Kind.SETSTAT, path, attributes),
        packet(Kind.MKDIR, path, bytes(4)),
        packet(Kind.REALPATH, path),
        packet(Kind.RENAME, path, other),
        packet(Kind.RENAME, other, path),
        packet(Kind.EXTENDED, string(b"posix-rename@openssh.com"), path, other),
        packet(Kind.EXTENDED, string(b"expand-path@openssh.com"), path),
        packet(Kind.REMOVE, path),
        packet(Kind.RMDIR, path),
    ]
    random.shuffle(made)
    return made


def ask_about_paths(ground: Ground, *, seconds: float) -> int:
    around = ground.around()
    own = str(ground.district(APPLE))
    here = ground.outside.parent

    def case(random: Random) -> None:
        ground.prepare()
        speaker = Speaker(ground.tree.district(APPLE))
        speaker.ask(packet(Kind.INIT, request_id=3))
        before = open_places(here)
        for _ in range(PATHS_PER_CASE):
            for sent in requests_about(random):
                reply = speaker.ask(sent)
                assert SECRET not in reply.body
                if reply.kind is not Kind.HANDLE:
                    continue
                opened = {place for name, place in open_places(here).items() if name not in before}
                assert opened
                assert all(place.startswith(f"{own}/") or place == own for place in opened), opened
                for ask in (
                    packet(Kind.READ, reply.handle, struct.pack(">QI", 0, 1000)),
                    packet(Kind.READDIR, reply.handle),
                ):
                    assert SECRET not in speaker.ask(ask).body
                speaker.ask(packet(Kind.CLOSE, reply.handle))
        speaker.end()
        assert open_places(here).keys() == before.keys()
        assert ground.around() == around
        ground.clear()

    return try_cases(case, seconds=seconds)


def test_no_path_leads_out(ground: Ground) -> None:
    assert ask_about_paths(ground, seconds=SHORT_SECONDS / len(CONFINEMENTS)) > 0


@pytest.mark.soak
@pytest.mark.timeout(LONG_SECONDS * 3)
def test_no_path_leads_out_for_long(ground: Ground) -> None:
    assert ask_about_paths(ground, seconds=LONG_SECONDS / len(CONFINEMENTS)) > 0
