# SPDX-License-Identifier: Apache-2.0
"""What districts' own programs do every night, with those programs."""

import asyncio
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import paramiko
import pytest

from nightdrop.core.events import EventKind
from sftp.harness import EPOCH, ClientKey, Nightdrop, OpenSsh, connect, read

CONTENT = bytes(range(256)) * 1500


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """Make a directory of the client's, with a file in it."""
    directory = tmp_path / "local"
    directory.mkdir()
    (directory / "students.csv").write_bytes(CONTENT)
    return directory


def test_openssh_puts_gets_and_lists(server: Nightdrop, openssh: OpenSsh, local: Path) -> None:
    done = openssh.sftp(
        f"mkdir /upload/{EPOCH}",
        f"put {local}/students.csv /upload/{EPOCH}/students.csv",
        f"get /upload/{EPOCH}/students.csv {local}/back.csv",
        "ls -l /",
        f"ls -l /upload/{EPOCH}",
    )
    assert (local / "back.csv").read_bytes() == CONTENT
    assert server.upload("applegrove.org", EPOCH, "students.csv").read_bytes() == CONTENT
    assert "drwxr-xr-x" in done.stdout
    assert "-rw-r--r--" in done.stdout
    assert "dr-xr-xr-x" in done.stdout


def test_the_root_holds_exactly_three_directories(openssh: OpenSsh) -> None:
    lines = openssh.sftp("ls -1 /").stdout.splitlines()
    assert sorted(lines[1:]) == ["/download", "/upload", "/upload-processed"]


def test_openssh_renames_removes_and_cleans_up(
    server: Nightdrop, openssh: OpenSsh, local: Path
) -> None:
    openssh.sftp(
        "mkdir /upload/work",
        f"put {local}/students.csv /upload/work/a",
        f"put {local}/students.csv /upload/work/b",
        "rename /upload/work/a /upload/work/b",
        "rm /upload/work/b",
        "rmdir /upload/work",
    )
    assert not server.upload("applegrove.org", "work").exists()
    kinds = [event.kind for event in server.wait_for(EventKind.DIRECTORY_REMOVED)]
    assert kinds == [EventKind.DIRECTORY_REMOVED]


def test_a_plain_rename_does_not_replace(server: Nightdrop, openssh: OpenSsh, local: Path) -> None:
    done = openssh.sftp(
        f"put {local}/students.csv /upload/a",
        f"put {local}/students.csv /upload/b",
        "rename -l /upload/a /upload/b",
        check=False,
    )
    assert done.returncode == 1
    assert server.upload("applegrove.org", "a").exists()


@pytest.mark.parametrize("already", [1, 100_000, len(CONTENT) - 1])
def test_openssh_resumes_an_upload(
    server: Nightdrop, openssh: OpenSsh, local: Path, already: int
) -> None:
    (local / "part").write_bytes(CONTENT[:already])
    openssh.sftp(
        f"put {local}/part /upload/students.csv", f"reput {local}/students.csv /upload/students.csv"
    )
    assert server.upload("applegrove.org", "students.csv").read_bytes() == CONTENT


def test_openssh_resumes_a_download(openssh: OpenSsh, local: Path) -> None:
    (local / "back.csv").write_bytes(CONTENT[:1000])
    openssh.sftp(
        f"put {local}/students.csv /upload/students.csv",
        f"reget /upload/students.csv {local}/back.csv",
    )
    assert (local / "back.csv").read_bytes() == CONTENT


def test_times_are_kept_and_modes_are_not(server: Nightdrop, openssh: OpenSsh, local: Path) -> None:
    os.utime(local / "students.csv", (1_700_000_000, 1_700_000_000))
    openssh.sftp(
        f"put -p {local}/students.csv /upload/students.csv", "chmod 777 /upload/students.csv"
    )
    found = server.upload("applegrove.org", "students.csv").stat()
    assert found.st_mtime == 1_700_000_000
    assert found.st_mode & 0o777 == 0o640


def test_a_whole_tree_goes_up_and_down(openssh: OpenSsh, local: Path) -> None:
    (local / "sub").mkdir()
    (local / "sub" / "Ümläut.csv").write_bytes(b"x")
    for number in range(250):
        (local / f"{number:03d}").write_bytes(bytes([number]))
    openssh.sftp(f"put -r {local} /upload/tree", f"get -r /upload/tree {local}/back")
    names = {path.relative_to(local / "back") for path in (local / "back").rglob("*")}
    assert len(names) == 253
    assert (local / "back" / "sub" / "Ümläut.csv").read_bytes() == b"x"


def test_asyncssh_writes_out_of_order_appends_and_truncates(
    server: Nightdrop, apple_key: ClientKey
) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection, connection.start_sftp_client() as sftp:
            async with sftp.open("/upload/a", "wb") as file:
                await file.write(b"world", offset=6)
                await file.write(b"hello ", offset=0)
            async with sftp.open("/upload/a", "ab") as file:
                await file.write(b"!!")
            await sftp.truncate("/upload/a", 12)
            assert await sftp.realpath("upload/../upload/./a") == "/upload/a"
            assert await sftp.getcwd() == "/"
            limits = sftp.limits
            assert (limits.max_read_len, limits.max_write_len) == (261120, 261120)
            async with sftp.open("/upload/a", "rb") as file:
                assert await read(file) == b"hello world!"

    asyncio.run(work())
    assert server.upload("applegrove.org", "a").read_bytes() == b"hello world!"


def test_asyncssh_opens_as_version_3_says(server: Nightdrop, apple_key: ClientKey) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection, connection.start_sftp_client() as sftp:
            async with sftp.open("/upload/a", "xb") as file:
                await file.write(b"a")
            with pytest.raises(asyncssh.SFTPFailure, match="is there already"):
                await sftp.open("/upload/a", "xb")
            with pytest.raises(asyncssh.SFTPNoSuchFile, match="There is no /upload/b"):
                await sftp.open("/upload/b", "r+b")
            async with sftp.open("/upload/a", "r+b") as file:
                assert await read(file) == b"a"
            with pytest.raises(asyncssh.SFTPOpUnsupported):
                await sftp.symlink("/upload/a", "/upload/link")
            with pytest.raises(asyncssh.SFTPOpUnsupported):
                await sftp.readlink("/upload/a")
            with pytest.raises(asyncssh.SFTPOpUnsupported):
                await sftp.link("/upload/a", "/upload/hard")
            await sftp.posix_rename("/upload/a", "/upload/c")
            assert await sftp.listdir("/upload") == ["c"]

    asyncio.run(work())


@contextmanager
def paramiko_client(server: Nightdrop, key: ClientKey) -> Iterator[paramiko.SFTPClient]:
    """Connect with paramiko, whose uploads are pipelined and whose downloads are prefetched."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507 - our own server
    client.connect(
        "127.0.0.1", server.port, username="applegrove.org", key_filename=str(key.path),
        look_for_keys=False, allow_agent=False,
    )  # fmt: skip
    try:
        with client.open_sftp() as sftp:
            yield sftp
    finally:
        client.close()


def test_paramiko_puts_and_prefetches(server: Nightdrop, apple_key: ClientKey) -> None:
    with paramiko_client(server, apple_key) as sftp:
        sftp.putfo(io.BytesIO(CONTENT), "/upload/a")
        with sftp.open("/upload/a", "rb") as file:
            file.prefetch(len(CONTENT))
            assert file.read() == CONTENT
        assert sftp.stat("/upload/a").st_size == len(CONTENT)
        assert [entry.longname[:10] for entry in sftp.listdir_attr("/upload")] == ["-rw-r--r--"]
        sftp.posix_rename("/upload/a", "/upload/b")
        sftp.remove("/upload/b")
        with pytest.raises(OSError, match="There is no /upload/b"):
            sftp.stat("/upload/b")


@pytest.mark.skipif(not shutil.which("psftp"), reason="putty-tools are not installed")
def test_psftp_puts_gets_and_lists(
    server: Nightdrop, apple_key: ClientKey, local: Path, tmp_path: Path
) -> None:
    ppk = tmp_path / "key.ppk"
    subprocess.run(
        ["puttygen", str(apple_key.path), "-o", str(ppk), "-O", "private"],
        check=True, capture_output=True,
    )  # fmt: skip
    lines = [key.get_fingerprint() for key in server.host_keys()]
    commands = tmp_path / "commands"
    commands.write_text(
        f"mkdir /upload/{EPOCH}\nput {local}/students.csv /upload/{EPOCH}/students.csv\n"
        f"reput {local}/students.csv /upload/{EPOCH}/students.csv\n"
        f"get /upload/{EPOCH}/students.csv {local}/back.csv\nls /upload/{EPOCH}\n"
        f"mv /upload/{EPOCH}/students.csv /upload/{EPOCH}/s.csv\nquit\n"
    )
    done = subprocess.run(
        ["psftp", "-batch", "-P", str(server.port), "-i", str(ppk), "-b", str(commands),
         *(part for line in lines for part in ("-hostkey", line)), "applegrove.org@127.0.0.1"],
        capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (local / "back.csv").read_bytes() == CONTENT
    assert "-rw-r--r--" in done.stdout
    assert server.upload("applegrove.org", EPOCH, "s.csv").read_bytes() == CONTENT


def make_night(directory: Path) -> Path:
    night = directory / EPOCH
    night.mkdir()
    (night / "COMPLETE").touch()
    for name in ("guardians.csv", "students.csv"):
        (night / name).write_bytes(CONTENT)
    return night


def check_night(server: Nightdrop) -> None:
    """Check that the night sealed once and whole."""
    (event,) = server.wait_for(EventKind.SEALED)
    files = event.facts["files"]
    assert isinstance(files, list)
    assert len(files) == 2
    for name in ("guardians.csv", "students.csv"):
        assert server.upload("applegrove.org", EPOCH, name).read_bytes() == CONTENT


@pytest.mark.skipif(not shutil.which("lftp"), reason="lftp is not installed")
def test_lftp_mirrors_over_three_connections(
    server: Nightdrop, openssh: OpenSsh, local: Path
) -> None:
    night = make_night(local)
    program = f"ssh -a -x {' '.join(openssh.options)}"
    script = (
        f"set sftp:connect-program '{program}'; set net:max-retries 1;"
        f" open -p {server.port} -u applegrove.org, sftp://127.0.0.1;"
        f" mirror -R -P 3 {night} /upload/{EPOCH}"
    )
    subprocess.run(["lftp", "-c", script], check=True, capture_output=True, timeout=60)
    check_night(server)


@pytest.mark.skipif(not shutil.which("rclone"), reason="rclone is not installed")
def test_rclone_copies(server: Nightdrop, apple_key: ClientKey, local: Path) -> None:
    night = make_night(local)
    remote = (
        f":sftp,host=127.0.0.1,port={server.port},user=applegrove.org,key_file={apple_key.path},"
        f"shell_type=none,disable_hashcheck=true:/upload/{EPOCH}"
    )
    for command in (("copy",), ("check", "--download")):
        subprocess.run(
            ["rclone", "--config", os.devnull, *command, str(night), remote],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    check_night(server)
