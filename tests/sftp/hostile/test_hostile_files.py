# SPDX-License-Identifier: Apache-2.0
"""Files opened and never closed, names that are none, directories without end."""

import asyncio
import resource
import struct
from collections.abc import Iterator

import pytest

from nightdrop.sftp.packets import Kind, OpenFlag, Status
from nightdrop.sftp.replies import MAX_HANDLES
from nightdrop.sftp.shares import MAX_DISTRICT_HANDLES
from nightdrop.sftp.visit import MAX_CHANNELS
from sftp.hostile.conftest import MakeSiege, Withstand
from sftp.hostile.siege import HOSTILE, VICTIM, Siege
from sftp.raw import RawSftp, packet, status_of, string

CREATE = struct.pack(">II", OpenFlag.WRITE | OpenFlag.CREATE, 0)
#: Requests that are on their way at a time.
BATCH = 250
#: The descriptors that most systems give to a program which does not ask for more.
FEW_DESCRIPTORS = 1024


async def ask_all(raw: RawSftp, packets: list[bytes]) -> list[bytes]:
    """Send many requests, a batch at a time, and return the replies."""
    replies: list[bytes] = []
    for begin in range(0, len(packets), BATCH):
        batch = packets[begin : begin + BATCH]
        raw.send(*batch)
        replies += [await raw.receive() for _ in batch]
    return replies


def opens(count: int, *, prefix: str = "file") -> list[bytes]:
    return [
        packet(Kind.OPEN, string(f"/upload/{prefix}-{number}".encode()), CREATE)
        for number in range(count)
    ]


@pytest.mark.parametrize("channels", [1, MAX_CHANNELS])
def test_ten_thousand_opens_that_are_never_closed(
    siege: Siege, withstand: Withstand, channels: int
) -> None:
    async def attack() -> None:
        async with siege.connected() as connection:
            raws = [await RawSftp.greeted(connection) for _ in range(channels)]
            answers = await asyncio.gather(
                *(
                    ask_all(raw, opens(10_000 // channels, prefix=f"on-{number}"))
                    for number, raw in enumerate(raws)
                )
            )
            kinds = [reply[0] for replies in answers for reply in replies]
            opened = min(MAX_HANDLES * channels, MAX_DISTRICT_HANDLES)
            assert kinds.count(Kind.HANDLE) == opened
            assert kinds.count(Kind.STATUS) == len(kinds) - opened

    outcome = withstand(siege, attack, seconds=60, growth_mib=24)
    assert not outcome.is_thrown_out


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Start programs as most systems do: they may have more descriptors, if they ask for them."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 4 * FEW_DESCRIPTORS:
        pytest.skip(f"this user may open no more than {most} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


def test_one_district_does_not_use_up_the_descriptors(
    few_descriptors: None, make_siege: MakeSiege
) -> None:
    """A file that is written holds two, and a district may have 32 sessions."""
    siege = make_siege()

    async def work() -> None:
        async with siege.connected() as one, siege.connected() as two:
            for number, connection in enumerate([one] * 6 + [two] * 6):
                raw = await RawSftp.greeted(connection)
                await ask_all(raw, opens(MAX_HANDLES, prefix=f"on-{number}"))
            async with siege.connected(VICTIM) as other:
                raw = await asyncio.wait_for(RawSftp.greeted(other), 10)
                handle = await raw.open_file(b"/upload/a", OpenFlag.WRITE | OpenFlag.CREATE)
                assert status_of(await raw.ask(Kind.CLOSE, handle))[0] == Status.OK

    asyncio.run(asyncio.wait_for(work(), 30))


ABSURD_NAMES = [
    b"/upload/" + b"n" * 4096,
    b"/upload/" + b"n" * 200_000,
    b"/upload" + b"/d" * 4096,
    b"/upload" + b"/" * 100_000,
    b"/upload" + b"/." * 50_000,
    b"/upload" + b"/x/.." * 20_000 + b"/../..",
    b"../" * 10_000,
    b"/upload/\xff" + b"\xc3" * 4096,
    b"/upload/\xed\xa0\x80",
    b"/upload/a\0b",
    b"/upload/\x1b]0;pwned\x07",
    "/upload/a\u2028b".encode(),
    "/upload/\u202egnp.exe".encode(),
    "/upload/a\u0301".encode() * 30,
    b"/upload\\..\\..\\windows",
    b"\\upload",
    b"//upload//..//..//etc",
    b"~root",
    b"/upload/~",
    b"",
    b"/",
    b".",
]
READLINK = 19
PATH_KINDS = [Kind.STAT, Kind.OPENDIR, Kind.REMOVE, Kind.RMDIR, Kind.REALPATH, READLINK]


def test_absurd_names(siege: Siege, withstand: Withstand) -> None:
    asks = [packet(kind, string(name)) for name in ABSURD_NAMES for kind in PATH_KINDS]
    asks += [packet(Kind.RENAME, string(name), string(b"/upload/x")) for name in ABSURD_NAMES]

    async def attack() -> None:
        async with siege.connected() as connection:
            raw = await RawSftp.greeted(connection)
            for _ in range(10):
                replies = await ask_all(raw, asks)
                told = [status_of(reply)[1] for reply in replies if reply[0] == Kind.STATUS]
                assert not [sentence for sentence in told if "could not do that" in sentence]

    outcome = withstand(siege, attack, seconds=60, growth_mib=24)
    assert not outcome.is_thrown_out
    assert not list(siege.upload(HOSTILE).iterdir())


def make_directories(count: int) -> list[bytes]:
    """Return requests for directories, a thousand in each."""
    tops = [b"/upload/%d" % top for top in range((count + 999) // 1000)]
    return [packet(Kind.MKDIR, string(top), bytes(4)) for top in tops] + [
        packet(Kind.MKDIR, string(tops[number // 1000] + b"/%d" % number), bytes(4))
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "count", [5_000, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_directories_without_end(make_siege: MakeSiege, withstand: Withstand, count: int) -> None:
    siege = make_siege()

    async def attack() -> None:
        async with siege.connected() as connection:
            raw = await RawSftp.greeted(connection)
            replies = await ask_all(raw, make_directories(count))
            assert {reply[0] for reply in replies} == {Kind.STATUS}

    outcome = withstand(siege, attack, seconds=600, growth_mib=24)
    assert not outcome.is_thrown_out
    # Each entry of /upload has a lock of its own while it is used, and none afterwards.
    made = len(list(siege.upload(HOSTILE).iterdir()))
    locks = len(list(siege.district(HOSTILE).joinpath("locks").iterdir()))
    assert 0 < made == (count + 999) // 1000
    assert locks <= made
