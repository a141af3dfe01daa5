# SPDX-License-Identifier: Apache-2.0
"""The server is killed in mid-upload: what arrived is kept, what did not never loads."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import asyncssh
import pytest

from nightdrop.config import Config
from nightdrop.core.accounts import Account
from nightdrop.core.events import EventKind
from nightdrop.storage.seal import SealedBy, SealRecord, SealWait, SealWaits, try_seal
from nightdrop.storage.tree import Tree
from sftp.harness import EPOCH, ClientKey, MakeServer, Nightdrop, OpenSsh

FOLDER = f"/upload/{EPOCH}"


async def upload_until_killed(program: "subprocess.Popen[str]", key: ClientKey) -> None:
    """Close one file and COMPLETE, leave another half written, and kill the server."""
    assert program.stdout is not None
    port = int(await asyncio.to_thread(program.stdout.readline))
    connection = await asyncssh.connect(
        "127.0.0.1", port, username="applegrove.org", client_keys=[key.key], known_hosts=None,
        config=None, agent_path=None,
    )  # fmt: skip
    sftp = await connection.start_sftp_client()
    await sftp.mkdir(FOLDER)
    async with sftp.open(f"{FOLDER}/guardians.csv", "wb") as file:
        await file.write(b"g" * 100_000)
    half = await sftp.open(f"{FOLDER}/students.csv", "wb")
    await half.write(b"half")
    async with sftp.open(f"{FOLDER}/COMPLETE", "wb"):
        pass
    program.kill()
    await connection.wait_closed()


def try_now(tree: Tree, account: Account) -> SealRecord | SealWaits:
    by = SealedBy(source="sftp", session=None, fingerprint=None, session_open=False)
    return try_seal(
        tree.district(account.district), EPOCH, seal_id=uuid4(), quiet_seconds=0, sealed_by=by
    )


@pytest.fixture
def killed(
    make_config: Callable[..., Config], make_server: MakeServer, apple_key: ClientKey
) -> Nightdrop:
    """Kill a server in mid-upload, and start it again."""
    config = make_config()
    tree = Tree(config.tree)
    account = Account(uuid4(), "applegrove.org", keys=(apple_key.installed(),))
    tree.add_district(account.district)
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("serve_alone.py")), str(config.home),
         account.username, str(account.district), str(apple_key.path)],
        stdout=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        asyncio.run(upload_until_killed(program, apple_key))
    waits = try_now(tree, account)
    assert isinstance(waits, SealWaits)
    assert (waits.reason, waits.names) == (SealWait.TORN, ("students.csv",))
    server = make_server()
    server.accounts[account.username] = account
    server.know()
    return server


def test_the_half_file_never_seals(killed: Nightdrop, apple_key: ClientKey) -> None:
    assert killed.upload("applegrove.org", EPOCH, "guardians.csv").stat().st_size == 100_000
    OpenSsh(killed, apple_key).sftp(f"ls {FOLDER}", f"rename {FOLDER}/students.csv {FOLDER}/s.csv")
    (event,) = killed.wait_for(EventKind.SEAL_WAITS)
    assert event.facts["files"] == ["s.csv"]


def test_sending_it_again_seals(killed: Nightdrop, apple_key: ClientKey, tmp_path: Path) -> None:
    (tmp_path / "students.csv").write_bytes(b"whole")
    OpenSsh(killed, apple_key).sftp(f"put {tmp_path}/students.csv {FOLDER}/students.csv")
    (event,) = killed.wait_for(EventKind.SEALED)
    assert len(event.facts["files"] or ()) == 2  # type: ignore[arg-type]


def test_events_of_the_killed_server_are_shipped_by_the_next(killed: Nightdrop) -> None:
    paths = {event.facts["path"] for event in killed.wait_for(EventKind.FILE_WRITTEN, count=2)}
    assert paths == {f"{FOLDER}/guardians.csv", f"{FOLDER}/COMPLETE"}
