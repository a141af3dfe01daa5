# SPDX-License-Identifier: Apache-2.0
"""A server whose disk is really full, and the client that goes on once there is room."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import asyncssh
import pytest

from nightdrop.config import Config
from nightdrop.core.events import EventKind, read_event
from nightdrop.storage.tree import Tree
from sftp.harness import EPOCH, ClientKey, read, touch

pytestmark = pytest.mark.needs_host

FOLDER = f"/upload/{EPOCH}"
KIB = 1024
#: Mounts 4 MiB over the tree, which only this program then sees, and becomes the server.
ON_SMALL_DISK = """
set -e
mkdir "$1/small"
mount -t tmpfs -o size=4m,mode=700 none "$1/small"
cp -a "$1/districts/." "$1/small/"
mount --bind "$1/small" "$1/districts"
shift
exec "$@"
"""


@pytest.fixture
def program(
    make_config: Callable[..., Config], apple_key: ClientKey
) -> Iterator["subprocess.Popen[str]"]:
    """A server with a small disk, and applegrove.org on it; the first it says is its port."""
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        subprocess.run(probe, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as fault:
        pytest.skip(f"nothing can be mounted here: {fault}")
    config = make_config()
    Tree(config.tree).add_district(UUID(int=1))
    serve_alone = str(Path(__file__).with_name("serve_alone.py"))
    with subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", ON_SMALL_DISK, "sh", str(config.home), sys.executable,
         serve_alone, str(config.home), "applegrove.org", str(UUID(int=1)), str(apple_key.path)],
        stdout=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        yield program
        program.kill()


def rules_of(config: Config) -> set[object]:
    """Return the rules that refused something, as the journal has them."""
    lines = [
        line
        for path in config.journal_dir.glob("*.jsonl")
        for line in path.read_bytes().splitlines(keepends=True)
    ]
    events = [read_event(line) for line in lines]
    return {event.facts["rule"] for event in events if event.kind is EventKind.REFUSED}


def test_the_same_session_goes_on_when_there_is_room_again(
    program: "subprocess.Popen[str]", make_config: Callable[..., Config], apple_key: ClientKey
) -> None:
    assert program.stdout is not None
    port = int(program.stdout.readline())

    async def work() -> None:
        async with (
            asyncssh.connect(
                "127.0.0.1", port, username="applegrove.org", client_keys=[apple_key.key],
                known_hosts=None, config=None, agent_path=None,
            ) as connection,
            connection.start_sftp_client() as sftp,
        ):  # fmt: skip
            await sftp.mkdir(FOLDER)
            async with sftp.open(f"{FOLDER}/students.csv", "wb") as file:
                await file.write(b"s" * (1024 * KIB))
            await send_until_full(sftp, f"{FOLDER}/guardians.csv")
            async with sftp.open(f"{FOLDER}/students.csv", "rb") as kept:
                assert await read(kept) == b"s" * (1024 * KIB)
            assert (await sftp.statvfs("/")).bavail < 16
            # The torn file must go; then the same session ends its work.
            await sftp.remove(f"{FOLDER}/guardians.csv")
            async with sftp.open(f"{FOLDER}/guardians.csv", "wb") as file:
                await file.write(b"g" * (1024 * KIB))
            await touch(sftp, f"{FOLDER}/COMPLETE")
            await until_sealed(sftp)

    asyncio.run(work())
    assert rules_of(make_config()) == {"disk-full"}
    program.kill()
    said = [line for line in program.stdout.read().splitlines() if "disk-full" in line]
    assert len(said) == 1, said


async def send_until_full(sftp: asyncssh.SFTPClient, path: str) -> None:
    file = await sftp.open(path, "wb")
    with pytest.raises(asyncssh.SFTPFailure, match="disk is full; what was stored before"):
        await file.write(b"g" * (5 * 1024 * KIB))
    with pytest.raises(asyncssh.SFTPFailure, match="disk is full"):
        await file.write(b"g")
    with pytest.raises(asyncssh.SFTPFailure, match="disk is full"):
        await file.close()


async def until_sealed(sftp: asyncssh.SFTPClient) -> None:
    """Wait until what is shown says that nothing can be written any more."""
    for _ in range(500):
        if (await sftp.stat(FOLDER)).permissions == 0o040555:
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not seal")
