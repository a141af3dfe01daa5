# SPDX-License-Identifier: Apache-2.0
"""Whatever is not SFTP is refused at once, in words."""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from nightdrop.core.events import EventKind
from sftp.harness import ClientKey, Nightdrop, OpenSsh, connect


@pytest.fixture
def line(server: Nightdrop) -> str:
    """Return what a shell is told."""
    return (
        "This account is for SFTP only."
        f" Use: sftp -P {server.port} applegrove.org@drop.example.org\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("applegrove.org@127.0.0.1",),
        ("-T", "applegrove.org@127.0.0.1"),
        ("applegrove.org@127.0.0.1", "ls", "-l"),
        ("applegrove.org@127.0.0.1", "rsync --server -vlogDtpr . /upload"),
        ("applegrove.org@127.0.0.1", "md5sum /upload/a"),
        ("-t", "applegrove.org@127.0.0.1"),
    ],
)
def test_shells_and_commands_get_one_line_and_status_1(
    server: Nightdrop, openssh: OpenSsh, line: str, arguments: tuple[str, ...]
) -> None:
    started = time.monotonic()
    done = openssh.ssh(*arguments)
    assert time.monotonic() - started < 3
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.replace("\r", "").endswith(line)
    (event,) = server.wait_for(EventKind.REFUSED)
    assert event.facts["rule"] == "not-sftp"


def test_a_terminal_is_refused_without_a_hang(openssh: OpenSsh) -> None:
    done = openssh.ssh("-tt", "applegrove.org@127.0.0.1")
    assert done.returncode != 0
    assert "PTY allocation request failed" in done.stderr


def test_old_scp_is_refused_with_the_line(
    server: Nightdrop, openssh: OpenSsh, line: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a")
    done = subprocess.run(
        ["scp", "-O", "-P", str(server.port), *openssh.options, str(tmp_path / "a"),
         "applegrove.org@127.0.0.1:/upload/a"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode != 0
    assert line in done.stderr


def test_new_scp_works(server: Nightdrop, openssh: OpenSsh, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    subprocess.run(
        ["scp", "-P", str(server.port), *openssh.options, str(tmp_path / "a"),
         "applegrove.org@127.0.0.1:/upload/a"],
        check=True, timeout=30,
    )  # fmt: skip
    assert server.upload("applegrove.org", "a").read_text() == "a"


def test_another_subsystem_is_refused(openssh: OpenSsh) -> None:
    done = openssh.ssh("-s", "applegrove.org@127.0.0.1", "netconf")
    assert done.returncode != 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda connection: connection.open_connection("127.0.0.1", 22),
        lambda connection: connection.open_unix_connection("/run/postgresql"),
        lambda connection: connection.forward_remote_port("", 0, "127.0.0.1", 22),
        lambda connection: connection.forward_remote_path("/tmp/x", "/tmp/y"),  # noqa: S108
        lambda connection: connection.open_tun(),
    ],
)
def test_nothing_is_forwarded(
    server: Nightdrop,
    apple_key: ClientKey,
    ask: Callable[[asyncssh.SSHClientConnection], Awaitable[object]],
) -> None:
    async def work() -> None:
        async with connect(server, apple_key) as connection:
            with pytest.raises((asyncssh.ChannelOpenError, asyncssh.ChannelListenError)):
                await ask(connection)

    asyncio.run(work())


def test_an_agent_is_not_forwarded(openssh: OpenSsh) -> None:
    done = openssh.ssh("-A", "-X", "applegrove.org@127.0.0.1")
    assert done.returncode == 1
