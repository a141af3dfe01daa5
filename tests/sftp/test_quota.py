# SPDX-License-Identifier: Apache-2.0
"""What clients are told of a quota: by refusals, and by `df`."""

import asyncio
import gc
import re
import shlex
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from nightdrop.core.events import EventKind
from nightdrop.sftp import requests
from sftp.harness import EPOCH, ClientKey, Nightdrop, OpenSsh, connect, read, touch

KIB = 1024
MIB = 1024 * KIB
FOLDER = f"/upload/{EPOCH}"

Work = Callable[[asyncssh.SFTPClient], Awaitable[None]]


@pytest.fixture
def small(server: Nightdrop) -> Nightdrop:
    """A server on which applegrove.org may have 1 MiB in 6 files."""
    server.change("applegrove.org", quota_bytes=MIB, quota_files=6)
    return server


@pytest.fixture
def as_apple(small: Nightdrop, apple_key: ClientKey) -> Callable[[Work], None]:
    """Do something as applegrove.org."""

    def run(work: Work) -> None:
        async def connected() -> None:
            async with (
                connect(small, apple_key) as connection,
                connection.start_sftp_client() as sftp,
            ):
                await work(sftp)

        asyncio.run(connected())

    return run


async def put(sftp: asyncssh.SFTPClient, path: str, content: bytes) -> None:
    async with sftp.open(path, "wb") as file:
        await file.write(content)


def test_bytes_beyond_the_quota(as_apple: Callable[[Work], None], small: Nightdrop) -> None:
    """The client is told how much there is, and what is there is unharmed."""

    async def work(sftp: asyncssh.SFTPClient) -> None:
        await sftp.mkdir(FOLDER)
        await put(sftp, f"{FOLDER}/students.csv", b"s" * (900 * KIB))
        file = await sftp.open(f"{FOLDER}/guardians.csv", "wb")
        with pytest.raises(asyncssh.SFTPFailure) as refusal:
            await file.write(b"g" * (200 * KIB))
        assert re.fullmatch(
            r"Your quota of 1 MiB has no room for this: what is in /upload takes \d+ KiB of it."
            r" Remove what is not needed, or ask whoever runs this service to raise it.",
            refusal.value.reason,
        )
        with pytest.raises(asyncssh.SFTPFailure, match="Your quota of 1 MiB"):
            await file.close()
        async with sftp.open(f"{FOLDER}/students.csv", "rb") as kept:
            assert await read(kept) == b"s" * (900 * KIB)
        await touch(sftp, f"{FOLDER}/COMPLETE")
        # It does not seal with the torn file; without that it does.
        await asyncio.to_thread(small.wait_for, EventKind.SEAL_WAITS)
        await sftp.remove(f"{FOLDER}/guardians.csv")

    as_apple(work)
    (sealed,) = small.wait_for(EventKind.SEALED)
    assert [file["name"] for file in sealed.facts["files"]] == ["students.csv"]  # type: ignore[index, union-attr, call-overload]
    refused = small.wait_for(EventKind.REFUSED)
    assert {event.facts["rule"] for event in refused} == {"quota-bytes"}
    assert {event.facts["path"] for event in refused} == {f"{FOLDER}/guardians.csv"}


def test_many_refused_writes_are_told_once(
    as_apple: Callable[[Work], None], small: Nightdrop
) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        file = await sftp.open("/upload/x", "wb")
        writes = [file.write(b"x" * (64 * KIB), offset=number << 20) for number in range(1, 40)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert all(isinstance(outcome, asyncssh.SFTPFailure) for outcome in outcomes)
        with pytest.raises(asyncssh.SFTPFailure):
            await file.close()
        await sftp.remove("/upload/x")

    as_apple(work)
    small.wait_for(EventKind.FILE_REMOVED)
    assert len(small.of_kind(EventKind.REFUSED)) == 1


def test_files_beyond_the_quota(as_apple: Callable[[Work], None]) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        await sftp.mkdir(FOLDER)
        for number in range(5):
            await touch(sftp, f"{FOLDER}/{number}.csv")
        sentence = "Your quota of 6 files and directories has no room for this: .* takes 6 of it"
        with pytest.raises(asyncssh.SFTPFailure, match=sentence):
            await touch(sftp, f"{FOLDER}/6.csv")
        with pytest.raises(asyncssh.SFTPFailure, match=sentence):
            await sftp.mkdir("/upload/more")
        await sftp.rename(f"{FOLDER}/4.csv", f"{FOLDER}/students.csv")
        await touch(sftp, f"{FOLDER}/COMPLETE")

    as_apple(work)


def test_more_room_helps_a_session_that_is_open(
    as_apple: Callable[[Work], None], small: Nightdrop
) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        with pytest.raises(asyncssh.SFTPFailure, match="quota of 1 MiB"):
            await put(sftp, "/upload/x", b"x" * (2 * MIB))
        await asyncio.to_thread(lambda: small.change("applegrove.org", quota_bytes=3 * MIB))
        await put(sftp, "/upload/x", b"x" * (2 * MIB))
        await asyncio.to_thread(lambda: small.change("applegrove.org", quota_bytes=None))
        assert (await sftp.statvfs("/")).blocks == 50 * 2**30 // 4096

    as_apple(work)


def test_openssh_is_refused_and_another_district_is_not(
    small: Nightdrop, apple_key: ClientKey, birch_key: ClientKey, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(b"x" * (2 * MIB))
    put_large = f"put {tmp_path}/large /upload/large"
    assert OpenSsh(small, apple_key).sftp(put_large, check=False).returncode == 1
    OpenSsh(small, birch_key, "birchhill.org").sftp(put_large)


def test_df_shows_the_quota(small: Nightdrop, openssh: OpenSsh, tmp_path: Path) -> None:
    """OpenSSH prints sizes and then files: total, used, free for all, free for us, percent."""
    (tmp_path / "x").write_bytes(b"x" * (256 * KIB))
    told = openssh.sftp(
        f"put {tmp_path}/x /upload/x", "df /upload", "df -i /upload-processed", "df -h /download"
    )
    rows = [line.split() for line in told.stdout.splitlines() if line.endswith("%")]
    assert rows == [
        ["1024", "256", "768", "768", "25%"],
        ["6", "1", "5", "5", "16%"],
        ["1.0MB", "256KB", "768KB", "768KB", "25%"],
    ]


def test_statvfs_of_what_is_not_there(as_apple: Callable[[Work], None]) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.statvfs("/upload/x")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.statvfs("/etc")

    as_apple(work)


def test_free_is_what_the_disk_has_when_that_is_less(
    small: Nightdrop, apple_key: ClientKey
) -> None:
    small.change("applegrove.org", quota_bytes=1 << 60)

    async def work() -> asyncssh.SFTPVFSAttrs:
        async with (
            connect(small, apple_key) as connection,
            connection.start_sftp_client() as sftp,
        ):
            return await sftp.statvfs("/upload")

    told = asyncio.run(work())
    assert told.frsize * told.blocks == 1 << 60
    assert told.bfree == told.bavail < 1 << 45
    assert (told.namemax, told.flags) == (255, 2)


def test_refused_writes_are_not_kept(small: Nightdrop, apple_key: ClientKey) -> None:
    """A file remembers that it was refused, and not what was to be written."""
    size_bytes = 200 * KIB

    async def work() -> int:
        async with (
            connect(small, apple_key) as connection,
            connection.start_sftp_client() as sftp,
        ):
            await put(sftp, "/upload/x", b"x" * MIB)
            for number in range(4):
                file = await sftp.open(f"/upload/{number}", "wb")
                with pytest.raises(asyncssh.SFTPFailure):
                    await file.write(b"x" * size_bytes)
            gc.collect()
            # The handler's requests, that is, not the test's own data.
            writes = [found for found in gc.get_objects() if type(found) is requests.Write]
            return sum(len(found.data) == size_bytes for found in writes)

    assert asyncio.run(work()) == 0


def test_lftp_shows_the_sentence(small: Nightdrop, openssh: OpenSsh, tmp_path: Path) -> None:
    if not shutil.which("lftp"):
        pytest.skip("lftp is not installed")
    (tmp_path / "large").write_bytes(b"x" * (2 * MIB))
    program = shlex.join(["ssh", "-a", "-x", *openssh.options])
    script = (
        f"set sftp:connect-program {shlex.quote(program)};"
        f" open -u applegrove.org,x sftp://127.0.0.1:{small.port};"
        f" put {tmp_path}/large -o /upload/large"
    )
    done = subprocess.run(
        ["lftp", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "Your quota of 1 MiB has no room for this" in done.stderr
