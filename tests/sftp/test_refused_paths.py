# SPDX-License-Identifier: Apache-2.0
"""What a path can never do, whichever client sends it."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from nightdrop.core.events import EventKind
from sftp.harness import ClientKey, Nightdrop, connect

Work = Callable[[asyncssh.SFTPClient], Awaitable[None]]


@pytest.fixture
def as_apple(server: Nightdrop, apple_key: ClientKey) -> Callable[[Work], None]:
    """Return what does something with asyncssh as applegrove.org, with paths as bytes."""

    def run(work: Work) -> None:
        async def connected() -> None:
            async with (
                connect(server, apple_key) as connection,
                connection.start_sftp_client(path_encoding=None) as sftp,
            ):
                await work(sftp)

        asyncio.run(connected())

    return run


ESCAPES = [
    b"/upload/../..",
    b"/upload/../../etc/passwd",
    b"//etc/passwd",
    b"/etc/passwd",
    b"/.//../etc/passwd",
    b"../../../../etc/passwd",
    b"/upload/a/../../../../etc/passwd",
]
BAD_NAMES = [
    (b"/upload/a\0b", "zero byte"),
    (b"/upload/\xff\xfe.csv", "not UTF-8 .from byte 8 on"),
    (b"/upload/a\nb", "control character"),
    (b"/upload/a\x1b[31m", "control character"),
    (b"/upload/a\x7f", "control character"),
    (b"/upload/" + b"n" * 256, "255 bytes; this one has 256"),
    (b"/upload/" + "ü".encode() * 150, "255 bytes; this one has 300"),
    (b"/upload" + b"/d" * 16, "16 directories deep"),
]


@pytest.mark.parametrize("path", ESCAPES)
def test_nothing_outside_can_be_named(as_apple: Callable[[Work], None], path: bytes) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        for ask in (sftp.stat, sftp.lstat, sftp.realpath, sftp.listdir, sftp.remove, sftp.mkdir):
            with pytest.raises((asyncssh.SFTPNoSuchFile, asyncssh.SFTPPermissionDenied)):
                await ask(path)
        for mode in ("rb", "wb", "ab"):
            with pytest.raises((asyncssh.SFTPNoSuchFile, asyncssh.SFTPPermissionDenied)):
                await sftp.open(path, mode)

    as_apple(work)


@pytest.mark.parametrize(("path", "sentence"), BAD_NAMES)
def test_bad_names_are_refused_with_the_rule(
    as_apple: Callable[[Work], None], server: Nightdrop, path: bytes, sentence: str
) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        with pytest.raises(asyncssh.SFTPPermissionDenied, match=sentence):
            await sftp.open(path, "wb")
        async with sftp.open(b"/upload/fine", "wb") as file:
            await file.write(b"x")
        with pytest.raises(asyncssh.SFTPPermissionDenied, match=sentence):
            await sftp.rename(b"/upload/fine", path)
        with pytest.raises(asyncssh.SFTPPermissionDenied, match=sentence):
            await sftp.mkdir(path)

    as_apple(work)
    assert [path.name for path in server.upload("applegrove.org").iterdir()] == ["fine"]
    assert len(server.wait_for(EventKind.REFUSED, count=3)) == 3


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (b"/upload-processed/x", "/upload-processed is read-only"),
        (b"/download/x", "/download is read-only"),
        (b"/upload", "stays as it is"),
        (b"/download", "stays as it is"),
        (b"/", "stays as it is"),
    ],
)
def test_only_upload_can_be_written(
    as_apple: Callable[[Work], None], path: bytes, sentence: str
) -> None:
    async def work(sftp: asyncssh.SFTPClient) -> None:
        async with sftp.open(b"/upload/a", "wb"):
            pass
        for change in (
            sftp.mkdir(path), sftp.rmdir(path), sftp.remove(path), sftp.rename(path, b"/upload/b"),
            sftp.rename(b"/upload/a", path), sftp.open(path, "wb"), sftp.truncate(path, 0),
            sftp.utime(path, (1, 1)),
        ):  # fmt: skip
            with pytest.raises(asyncssh.SFTPPermissionDenied, match=sentence):
                await change

    as_apple(work)


def test_links_and_devices_on_the_disk_lead_nowhere(
    as_apple: Callable[[Work], None], server: Nightdrop, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    upload = server.upload("applegrove.org")
    (upload / "directory").symlink_to(outside)
    (upload / "file").symlink_to(outside / "secret")
    (upload / "root").symlink_to("/")
    os.mkfifo(upload / "fifo")

    async def work(sftp: asyncssh.SFTPClient) -> None:
        assert await sftp.listdir(b"/upload") == []
        for path in (b"directory", b"directory/secret", b"file", b"root/etc/passwd", b"fifo"):
            full = b"/upload/" + path
            for ask in (sftp.stat, sftp.lstat, sftp.listdir, sftp.remove):
                with pytest.raises(asyncssh.SFTPError):
                    await ask(full)
            for mode in ("rb", "wb", "r+b"):
                with pytest.raises(asyncssh.SFTPError):
                    await sftp.open(full, mode)

    as_apple(work)
    assert (outside / "secret").read_text() == "secret"


def test_another_district_cannot_be_seen(
    as_apple: Callable[[Work], None], server: Nightdrop
) -> None:
    district = str(server.accounts["birchhill.org"].district).encode()
    server.upload("birchhill.org", "theirs").write_text("theirs")

    async def work(sftp: asyncssh.SFTPClient) -> None:
        assert await sftp.listdir(b"/upload") == []
        for path in (district, b"/" + district, b"/upload/../../" + district, b"/upload/theirs"):
            with pytest.raises((asyncssh.SFTPNoSuchFile, asyncssh.SFTPPermissionDenied)):
                await sftp.listdir(path)

    as_apple(work)
