# SPDX-License-Identifier: Apache-2.0
"""Two sessions of one district that do the same things at the same time."""

import asyncio
from random import Random

import pytest

from nightdrop.core.events import EventKind
from nightdrop.sftp.packets import Kind, OpenFlag, Status
from nightdrop.storage.seal import read_record
from sftp.harness import ClientKey, MakeServer, Nightdrop, connect
from sftp.raw import RawSftp, status_of, string

CREATE = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
RENAME_AT_WILL = string(b"posix-rename@openssh.com")
OUR_FAULT = "could not do that"


async def answer(raw: RawSftp, kind: int, *body: bytes) -> tuple[int, str]:
    """Ask for something that is answered with a status; never may the server be at a loss."""
    code, sentence = status_of(await raw.ask(kind, *body))
    assert OUR_FAULT not in sentence
    return code, sentence


async def put(raw: RawSftp, path: str, content: bytes) -> bool:
    """Send a file; return whether its close was acknowledged, and not refused over a seal."""
    flags = CREATE.to_bytes(4, "big") + bytes(4)
    reply = await raw.ask(Kind.OPEN, string(path.encode()), flags)
    if reply[0] != Kind.HANDLE:
        assert "was sealed at" in status_of(reply)[1]
        return False
    handle = reply[5:]
    assert (await answer(raw, Kind.WRITE, handle, bytes(8), string(content)))[0] == Status.OK
    assert (await answer(raw, Kind.CLOSE, handle))[0] == Status.OK
    return True


@pytest.mark.parametrize("seed", range(4))
def test_renames_of_the_same_names(server: Nightdrop, apple_key: ClientKey, seed: int) -> None:
    """Each file keeps exactly one name, or a rename that may replace has taken its place."""
    names = [f"/upload/{name}" for name in ("a", "b", "c", "d")]
    replaced: list[str] = []

    async def rename_much(raw: RawSftp, random: Random) -> None:
        for _ in range(150):
            old, new = (string(random.choice(names).encode()) for _ in range(2))
            if random.random() < 0.02:
                if (await answer(raw, Kind.EXTENDED, RENAME_AT_WILL, old, new))[0] == Status.OK:
                    replaced.append("perhaps")
            else:
                await answer(raw, Kind.RENAME, old, new)

    async def work() -> list[str]:
        async with connect(server, apple_key) as one, connect(server, apple_key) as two:
            raws = [await RawSftp.greeted(one), await RawSftp.greeted(two)]
            for name in names[:3]:
                assert await put(raws[0], name, name.encode())
            await asyncio.gather(
                *(rename_much(raw, Random(f"{seed} {place}")) for place, raw in enumerate(raws))
            )
            return [path.name for path in server.upload("applegrove.org").iterdir()]

    left = asyncio.run(work())
    contents = {server.upload("applegrove.org", name).read_bytes() for name in left}
    assert len(contents) == len(left), "one file has two names"
    assert contents <= {name.encode() for name in names}
    assert 3 - len(replaced) <= len(left) <= 3
    assert len(left) >= 1


@pytest.mark.parametrize("seed", range(4))
def test_directories_are_renamed_while_they_are_written_to(
    server: Nightdrop, apple_key: ClientKey, seed: int
) -> None:
    """What was acknowledged is there, whole, under the name that its directory has in the end."""
    places = ["/upload/one", "/upload/two", "/upload/20261123-021407"]
    acknowledged: set[str] = set()

    async def move_about(raw: RawSftp, random: Random) -> None:
        for _ in range(120):
            old, new = (string(name.encode()) for name in random.sample(places, 2))
            await answer(raw, Kind.RENAME, old, new)

    async def send_much(raw: RawSftp, random: Random) -> None:
        flags = CREATE.to_bytes(4, "big") + bytes(4)
        for number in range(120):
            name = f"file-{number}"
            path = f"{random.choice(places)}/{name}".encode()
            reply = await raw.ask(Kind.OPEN, string(path), flags)
            if reply[0] != Kind.HANDLE:
                continue
            await answer(raw, Kind.WRITE, reply[5:], bytes(8), string(name.encode()))
            if (await answer(raw, Kind.CLOSE, reply[5:]))[0] == Status.OK:
                acknowledged.add(name)

    async def work() -> None:
        async with connect(server, apple_key) as one, connect(server, apple_key) as two:
            mover, sender = await RawSftp.greeted(one), await RawSftp.greeted(two)
            await answer(mover, Kind.MKDIR, string(places[0].encode()), bytes(4))
            await asyncio.gather(
                move_about(mover, Random(f"{seed} mover")), send_much(sender, Random(seed))
            )

    asyncio.run(work())
    (place,) = server.upload("applegrove.org").iterdir()
    found = {path.name: path for path in place.iterdir()}
    assert acknowledged
    assert found.keys() == acknowledged
    for name, path in found.items():
        assert path.read_bytes() == name.encode()
        assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("quiet_seconds", [3600, 0.01], ids=["sealed by an end", "by quiet"])
def test_uploads_while_another_session_seals(
    make_server: MakeServer, apple_key: ClientKey, quiet_seconds: float
) -> None:
    """Every close that was acknowledged is in the seal; every other file was refused over it."""
    server = make_server(seal_quiet_seconds=quiet_seconds)
    district = server.add("applegrove.org", apple_key)
    late_files = 0

    async def upload_until_sealed(raw: RawSftp, folder: str) -> dict[str, int]:
        acknowledged: dict[str, int] = {}
        for number in range(60):
            name, content = f"late-{number}", b"x" * number
            if not await put(raw, f"{folder}/{name}", content):
                break
            acknowledged[name] = number
        return acknowledged

    async def one_night(night: int) -> None:
        nonlocal late_files
        epoch = f"20261123-0214{night:02d}"
        folder = f"/upload/{epoch}"
        async with connect(server, apple_key) as first, connect(server, apple_key) as second:
            ending, going_on = await RawSftp.greeted(first), await RawSftp.greeted(second)
            await answer(ending, Kind.MKDIR, string(folder.encode()), bytes(4))
            assert await put(ending, f"{folder}/students.csv", b"whole")
            late = asyncio.ensure_future(upload_until_sealed(going_on, folder))
            await asyncio.sleep(0)
            assert await put(ending, f"{folder}/COMPLETE", b"")
            ending._writer.write_eof()
            acknowledged = await late
            going_on._writer.write_eof()
            assert await ending.is_ended()
            assert await going_on.is_ended()
        await asyncio.to_thread(server.wait_for, EventKind.SEALED, count=night + 1)
        record = read_record(server.tree.district(district), epoch)
        assert record is not None
        sizes = {file.name: file.size_bytes for file in record.files}
        assert sizes == {"students.csv": 5, **acknowledged}
        for name, size_bytes in sizes.items():
            assert server.upload("applegrove.org", epoch, name).stat().st_size == size_bytes
        late_files += len(acknowledged)

    async def work() -> None:
        for night in range(12):
            await one_night(night)

    asyncio.run(work())
    assert late_files, "nothing raced"
