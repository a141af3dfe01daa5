# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping, and living without the database."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncssh
import pytest

from nightdrop.config import Config
from nightdrop.core.accounts import LoginFault, Snapshot, read_snapshot, write_snapshot
from nightdrop.core.events import Event, EventKind
from nightdrop.sftp.server import _REST_SECONDS
from nightdrop.storage.seal import read_record
from nightdrop.storage.tree import Tree
from sftp.harness import EPOCH, ClientKey, MakeServer, Nightdrop, OpenSsh, connect, touch

FOLDER = f"/upload/{EPOCH}"


def test_a_stop_lets_a_transfer_finish_and_ends_idle_sessions(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    server = make_server()
    server.grace_seconds = 10
    server.add("applegrove.org", apple_key)

    async def work() -> None:
        async with connect(server, apple_key) as busy, connect(server, apple_key) as idle:
            sftp = await busy.start_sftp_client()
            await (await idle.start_sftp_client()).listdir("/")
            await sftp.mkdir(FOLDER)
            file = await sftp.open(f"{FOLDER}/students.csv", "wb")
            stopping = asyncio.get_running_loop().run_in_executor(None, server.stop)
            await asyncio.wait_for(idle.wait_closed(), 3)
            with pytest.raises((OSError, asyncssh.Error)):
                await connect(server, apple_key)
            await file.write(b"whole")
            await file.close()
            await asyncio.wait_for(stopping, 3)

    asyncio.run(work())
    found = server.upload("applegrove.org", EPOCH, "students.csv")
    assert found.read_bytes() == b"whole"
    assert found.stat().st_mode & 0o777 == 0o640


def test_a_stop_does_not_cut_a_batch_between_two_requests(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    """No file is open, and each request comes well after the answer to the last."""
    server = make_server()
    server.grace_seconds = 30
    server.add("applegrove.org", apple_key)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with connect(server, apple_key) as batch, connect(server, apple_key) as idle:
            sftp = await batch.start_sftp_client()
            stopping = loop.run_in_executor(None, server.stop)
            until = loop.time() + 2 * _REST_SECONDS
            while loop.time() < until or not idle.is_closed():
                await sftp.stat("/upload")
                await asyncio.sleep(_REST_SECONDS / 5)
            assert not stopping.done()
        await asyncio.wait_for(stopping, 5)

    asyncio.run(work())


def test_a_stop_gives_up_what_is_open_in_the_end_and_seals_nothing(
    make_server: MakeServer, apple_key: ClientKey
) -> None:
    server = make_server(seal_quiet_seconds=0.2)
    district = server.add("applegrove.org", apple_key)

    async def work() -> None:
        connection = await connect(server, apple_key)
        sftp = await connection.start_sftp_client()
        await sftp.mkdir(FOLDER)
        file = await sftp.open(f"{FOLDER}/students.csv", "wb")
        await touch(sftp, f"{FOLDER}/COMPLETE")
        await file.write(b"half")
        await asyncio.to_thread(server.stop)
        await asyncio.wait_for(connection.wait_closed(), 3)

    asyncio.run(work())
    found = server.upload("applegrove.org", EPOCH, "students.csv").stat()
    assert found.st_mode & 0o777 == 0o600
    assert read_record(server.tree.district(district), EPOCH) is None
    assert len(server.of_kind(EventKind.FILE_TORN)) == 1


def test_the_copy_on_disk_lets_people_in_when_the_database_is_away(
    make_config: Callable[..., Config], apple_key: ClientKey
) -> None:
    config = make_config()
    before = Nightdrop(config, Tree(config.tree))
    before.know()
    before.start()
    before.add("applegrove.org", apple_key)
    before.stop()
    assert config.snapshot_file.stat().st_mode & 0o777 == 0o600

    server = Nightdrop(config, Tree(config.tree), accounts=before.accounts)
    server.start()
    try:
        OpenSsh(server, apple_key).sftp("ls")
    finally:
        server.stop()


@pytest.mark.parametrize("damage", ["old", "cut"])
def test_a_copy_that_cannot_be_trusted_lets_nobody_in(
    make_config: Callable[..., Config], make_server: MakeServer, apple_key: ClientKey, damage: str
) -> None:
    config = make_config()
    before = Nightdrop(config, Tree(config.tree))
    before.know()
    before.start()
    before.add("applegrove.org", apple_key)
    before.stop()
    data = config.snapshot_file.read_bytes()
    if damage == "old":
        taken_at = datetime.now(UTC) - timedelta(hours=24, seconds=1)
        data = write_snapshot(Snapshot(taken_at, read_snapshot(data).accounts))
    config.snapshot_file.write_bytes(data if damage == "old" else data[:-10])

    server = Nightdrop(config, Tree(config.tree), accounts=before.accounts)
    server.patience_seconds = 0
    server.start()
    try:
        assert OpenSsh(server, apple_key).sftp("ls", check=False).returncode != 0
        (event,) = server.wait_for(EventKind.LOGIN_REFUSED)
        assert event.facts["reason"] == LoginFault.SNAPSHOT_TOO_OLD
    finally:
        server.stop()


def test_events_wait_for_the_database_and_none_is_lost(
    make_server: MakeServer, apple_key: ClientKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[int] = []
    deliver = Nightdrop.ship

    def ship(self: Nightdrop, batch: Sequence[Event]) -> None:
        if len(failures) < 2:
            failures.append(len(batch))
            raise ConnectionError
        deliver(self, batch)

    monkeypatch.setattr(Nightdrop, "ship", ship)
    server = make_server()
    server.add("applegrove.org", apple_key)
    OpenSsh(server, apple_key).sftp("mkdir /upload/a", "rmdir /upload/a")
    server.wait_for(EventKind.DISCONNECTED)
    kinds = [event.kind for event in server.events]
    assert kinds == [
        EventKind.LOGIN_ACCEPTED, EventKind.DIRECTORY_MADE, EventKind.DIRECTORY_REMOVED,
        EventKind.DISCONNECTED,
    ]  # fmt: skip
    assert len({event.id for event in server.events}) == len(kinds)
    assert len({event.session for event in server.events}) == 1
