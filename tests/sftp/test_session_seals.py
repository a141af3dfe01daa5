# SPDX-License-Identifier: Apache-2.0
"""When epochs are sealed by what sessions do."""

import asyncio
from pathlib import Path

import asyncssh
import pytest

from nightdrop.core.events import Event, EventKind
from nightdrop.sftp.packets import Kind, OpenFlag
from nightdrop.storage.seal import read_record
from sftp.harness import EPOCH, ClientKey, MakeServer, Nightdrop, OpenSsh, connect, read, touch
from sftp.raw import RawSftp, packet, string

FOLDER = f"/upload/{EPOCH}"


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """Make the files of one night; COMPLETE comes before both in the order of names."""
    directory = tmp_path / EPOCH
    directory.mkdir()
    (directory / "COMPLETE").touch()
    (directory / "guardians.csv").write_bytes(b"g" * 300_000)
    (directory / "students.csv").write_bytes(b"s" * 300_000)
    return directory


def is_sealed(server: Nightdrop) -> bool:
    tree = server.tree.district(server.accounts["applegrove.org"].district)
    return read_record(tree, EPOCH) is not None


def names_of(event: Event) -> list[str]:
    files = event.facts["files"]
    assert isinstance(files, list)
    return [str(file["name"]) for file in files if isinstance(file, dict)]


def test_a_night_seals_when_its_session_ends(
    make_server: MakeServer, apple_key: ClientKey, night: Path
) -> None:
    server = make_server(seal_quiet_seconds=3600)
    district = server.add("applegrove.org", apple_key)
    OpenSsh(server, apple_key).sftp(
        f"mkdir {FOLDER}",
        f"put {night}/students.csv {FOLDER}/students.csv",
        f"put {night}/guardians.csv {FOLDER}/guardians.csv",
        f"put {night}/COMPLETE {FOLDER}/COMPLETE",
    )
    (event,) = server.wait_for(EventKind.SEALED)
    assert event.district == district
    assert event.facts["session_open"] is False
    assert event.facts["fingerprint"] == apple_key.key.get_fingerprint()
    assert names_of(event) == ["guardians.csv", "students.csv"]
    assert server.of_kind(EventKind.SESSION_ENDED) == []


def test_put_r_with_complete_first_seals_once_and_whole(
    make_server: MakeServer, apple_key: ClientKey, night: Path
) -> None:
    server = make_server(seal_quiet_seconds=3600)
    server.add("applegrove.org", apple_key)
    OpenSsh(server, apple_key).sftp(f"put -r {night} /upload/")
    (event,) = server.wait_for(EventKind.SEALED)
    assert names_of(event) == ["guardians.csv", "students.csv"]


def test_quiet_seals_while_the_session_goes_on(server: Nightdrop, apple_key: ClientKey) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection, connection.start_sftp_client() as sftp:
            await sftp.mkdir(FOLDER)
            for name in ("COMPLETE", "students.csv"):
                async with sftp.open(f"{FOLDER}/{name}", "wb") as file:
                    await file.write(b"x")
            (event,) = await asyncio.to_thread(server.wait_for, EventKind.SEALED)
            assert event.facts["session_open"] is True
            assert names_of(event) == ["students.csv"]
            await sftp.utime(f"{FOLDER}/students.csv", (1, 1))
            await sftp.chmod(f"{FOLDER}/students.csv", 0o600)
            with pytest.raises(
                asyncssh.SFTPPermissionDenied, match=r"was sealed at \d\d:\d\d:\d\d"
            ):
                await sftp.open(f"{FOLDER}/late.csv", "wb")
            for change in (
                sftp.remove(f"{FOLDER}/students.csv"), sftp.mkdir(f"{FOLDER}/d"),
                sftp.rename(FOLDER, "/upload/other"), sftp.rmdir(FOLDER),
                sftp.posix_rename(f"{FOLDER}/students.csv", "/upload/s"),
                sftp.truncate(f"{FOLDER}/students.csv", 0),
            ):  # fmt: skip
                with pytest.raises(asyncssh.SFTPPermissionDenied, match="Upload into a new epoch"):
                    await change
            async with sftp.open(f"{FOLDER}/students.csv", "rb") as file:
                assert await read(file) == b"x"
            attributes = await sftp.stat(f"{FOLDER}/students.csv")
            assert attributes.permissions == 0o100444
            assert attributes.mtime != 1

    asyncio.run(work())
    (ended,) = server.wait_for(EventKind.SESSION_ENDED)
    assert ended.facts["epochs"] == [EPOCH]
    (sealed,) = server.of_kind(EventKind.SEALED)
    assert ended.session == sealed.session
    late = server.wait_for(EventKind.CAME_AFTER_SEAL, count=7)
    assert {event.facts["epoch"] for event in late} == {EPOCH}
    assert {event.facts["fingerprint"] for event in late} == {apple_key.key.get_fingerprint()}


@pytest.mark.parametrize("new", ["COMPLETE", "CHECK"])
def test_a_rename_makes_a_marker(
    server: Nightdrop, openssh: OpenSsh, night: Path, new: str
) -> None:
    openssh.sftp(
        f"mkdir {FOLDER}",
        f"put {night}/students.csv {FOLDER}/students.csv",
        f"put {night}/COMPLETE {FOLDER}/{new}.filepart",
        f"rename {FOLDER}/{new}.filepart {FOLDER}/{new}",
    )
    (event,) = server.wait_for(EventKind.SEALED)
    assert event.facts["marker"] == new


def test_renaming_a_directory_to_an_epoch_makes_one(
    server: Nightdrop, openssh: OpenSsh, night: Path
) -> None:
    openssh.sftp(
        "mkdir /upload/work",
        f"put {night}/students.csv /upload/work/students.csv",
        f"put {night}/COMPLETE /upload/work/COMPLETE",
        f"rename /upload/work {FOLDER}",
    )
    (event,) = server.wait_for(EventKind.SEALED)
    assert names_of(event) == ["students.csv"]


def test_a_drop_in_mid_file_never_seals(server: Nightdrop, apple_key: ClientKey) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            sftp = await connection.start_sftp_client()
            await sftp.mkdir(FOLDER)
            await touch(sftp, f"{FOLDER}/COMPLETE")
            half = await sftp.open(f"{FOLDER}/students.csv", "wb")
            await half.write(b"half")
            connection.abort()

    asyncio.run(work())
    (torn,) = server.wait_for(EventKind.FILE_TORN)
    assert torn.facts == {"path": f"{FOLDER}/students.csv", "size_bytes": 4}
    (waits,) = server.wait_for(EventKind.SEAL_WAITS)
    assert waits.facts == {"epoch": EPOCH, "files": ["students.csv"]}
    assert not is_sealed(server)
    found = server.upload("applegrove.org", EPOCH, "students.csv").stat()
    assert found.st_mode & 0o777 == 0o600


def test_a_handle_left_open_at_a_clean_end_is_not_closed_for_the_client(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            sftp = await connection.start_sftp_client()
            await sftp.mkdir(FOLDER)
            await touch(sftp, f"{FOLDER}/COMPLETE")
            half = await sftp.open(f"{FOLDER}/students.csv", "wb")
            await half.write(b"half")
            sftp.exit()
            await sftp.wait_closed()
            await asyncio.to_thread(server.wait_for, EventKind.SEAL_WAITS)

    asyncio.run(work())
    assert not is_sealed(server)


def test_sending_the_torn_file_again_mends_the_epoch(
    server: Nightdrop, apple_key: ClientKey, openssh: OpenSsh, night: Path
) -> None:
    test_a_drop_in_mid_file_never_seals(server, apple_key)
    openssh.sftp(f"put {night}/students.csv {FOLDER}/students.csv")
    (event,) = server.wait_for(EventKind.SEALED)
    assert names_of(event) == ["students.csv"]


def test_removing_the_torn_file_mends_the_epoch_too(
    server: Nightdrop, apple_key: ClientKey, openssh: OpenSsh
) -> None:
    test_a_drop_in_mid_file_never_seals(server, apple_key)
    openssh.sftp(f"rm {FOLDER}/students.csv")
    (event,) = server.wait_for(EventKind.SEALED)
    assert names_of(event) == []


def test_a_cut_between_two_files_does_not_seal_at_once(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    server = make_server(seal_quiet_seconds=3600)
    server.add("applegrove.org", apple_key)

    async def work() -> None:
        async with connect(server, apple_key) as connection:
            sftp = await connection.start_sftp_client()
            await sftp.mkdir(FOLDER)
            for name in ("COMPLETE", "guardians.csv"):
                await touch(sftp, f"{FOLDER}/{name}")
            connection.abort()

    asyncio.run(work())
    server.wait_for(EventKind.DISCONNECTED)
    server.stop()
    assert not is_sealed(server)


def test_another_session_that_still_writes_holds_the_seal_back(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    server = make_server(seal_quiet_seconds=3600)
    server.add("applegrove.org", apple_key)

    async def work() -> None:
        async with connect(server, apple_key) as second, second.start_sftp_client() as other:
            await other.mkdir(FOLDER)
            file = await other.open(f"{FOLDER}/students.csv", "wb")
            async with connect(server, apple_key) as first, first.start_sftp_client() as sftp:
                await touch(sftp, f"{FOLDER}/COMPLETE")
            await asyncio.to_thread(server.wait_for, EventKind.DISCONNECTED)
            await file.write(b"whole")
            await file.close()

    asyncio.run(work())
    (event,) = server.wait_for(EventKind.SEALED)
    assert names_of(event) == ["students.csv"]


def test_a_visitor_does_not_seal_what_another_session_is_sending(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    server = make_server(seal_quiet_seconds=3600)
    server.add("applegrove.org", apple_key)

    async def work() -> None:
        async with connect(server, apple_key) as first, first.start_sftp_client() as sftp:
            await sftp.mkdir(FOLDER)
            await touch(sftp, f"{FOLDER}/COMPLETE")
            async with connect(server, apple_key) as second, second.start_sftp_client() as other:
                await touch(other, f"{FOLDER}/guardians.csv")
            await asyncio.to_thread(server.wait_for, EventKind.DISCONNECTED)
            assert not is_sealed(server)
            await touch(sftp, f"{FOLDER}/students.csv")

    asyncio.run(work())
    (event,) = server.wait_for(EventKind.SEALED)
    assert names_of(event) == ["guardians.csv", "students.csv"]


def test_a_visitor_of_another_process_does_not_either(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    first_server, second_server = (make_server(seal_quiet_seconds=3600) for _ in range(2))
    first_server.add("applegrove.org", apple_key)
    second_server.accounts = first_server.accounts
    second_server.know()

    async def work() -> None:
        async with connect(first_server, apple_key) as first, first.start_sftp_client() as sftp:
            await sftp.mkdir(FOLDER)
            await touch(sftp, f"{FOLDER}/COMPLETE")
            async with (
                connect(second_server, apple_key) as second,
                second.start_sftp_client() as other,
            ):
                await touch(other, f"{FOLDER}/guardians.csv")
            assert not is_sealed(first_server)
            await touch(sftp, f"{FOLDER}/students.csv")

    asyncio.run(work())
    assert is_sealed(first_server)


def test_a_marker_of_another_process_is_sealed_when_it_is_quiet(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    first_server, second_server = (
        make_server(seal_quiet_seconds=seconds) for seconds in (3600, 0.3)
    )
    first_server.add("applegrove.org", apple_key)
    second_server.accounts = first_server.accounts
    second_server.know()

    async def work() -> None:
        async with connect(first_server, apple_key) as first, first.start_sftp_client() as sftp:
            await sftp.mkdir(FOLDER)
            await touch(sftp, f"{FOLDER}/COMPLETE")
            async with (
                connect(second_server, apple_key) as second,
                second.start_sftp_client() as other,
            ):
                await touch(other, f"{FOLDER}/guardians.csv")
            # The first one has the journal's shipper.
            await asyncio.to_thread(first_server.wait_for, EventKind.SEALED)
            await sftp.utime(f"{FOLDER}/COMPLETE", (1, 1))

    asyncio.run(work())
    (event,) = first_server.wait_for(EventKind.SEALED)
    assert event.facts["session"] is None
    assert event.facts["session_open"] is True


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/upload/COMPLETE", "directly-in-upload"),
        ("/upload/tonight/COMPLETE", "directory-is-no-epoch"),
        ("/upload/2026-11-23/CHECK", "directory-is-no-epoch"),
        (f"{FOLDER}/inner/COMPLETE", "below-the-epoch"),
    ],
)
def test_a_marker_that_ends_nothing_is_told(
    server: Nightdrop, openssh: OpenSsh, night: Path, path: str, hint: str
) -> None:
    parents = [path.rsplit("/", depth)[0] for depth in range(path.count("/") - 1, 0, -1)]
    openssh.sftp(
        *(f"-mkdir {parent}" for parent in parents if parent != "/upload"),
        f"put {night}/COMPLETE {path}",
        check=False,
    )
    (event,) = server.wait_for(EventKind.MARKER_OUTSIDE_EPOCH)
    assert event.facts == {"path": path, "marker": path.rsplit("/", 1)[1], "hint": hint}


def test_what_was_sent_before_a_clean_end_is_done_without_waiting_for_answers(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            raw = await RawSftp.greeted(connection)
            await raw.ask(Kind.MKDIR, string(FOLDER.encode()), bytes(4))
            name = f"{FOLDER}/COMPLETE".encode()
            handle = await raw.open_file(name, OpenFlag.WRITE | OpenFlag.CREATE)
            read = packet(Kind.READ, handle, bytes(12))
            raw.send(*[read] * 2000, packet(Kind.CLOSE, handle))
            raw.close()
            await asyncio.to_thread(server.wait_for, EventKind.SEALED)

    asyncio.run(work())
    assert server.of_kind(EventKind.FILE_TORN) == []
