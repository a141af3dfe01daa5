# SPDX-License-Identifier: Apache-2.0
"""Python's libraries: paramiko, asyncssh, and libssh2 through ssh2-python."""

import asyncio
import socket
from collections.abc import Awaitable, Sequence
from pathlib import Path

import asyncssh
import paramiko
from ssh2.session import Session
from ssh2.sftp import (
    LIBSSH2_FXF_CREAT,
    LIBSSH2_FXF_READ,
    LIBSSH2_FXF_TRUNC,
    LIBSSH2_FXF_WRITE,
    SFTP,
)

from sftp.interop.client_steps import (
    Client,
    Deeds,
    Get,
    GetTree,
    List,
    Listings,
    MakeDirectory,
    Put,
    PutTree,
    Remove,
    RemoveDirectory,
    Rename,
    Resume,
    Step,
    Visitor,
    listings_among,
)


class Paramiko(Client):
    """Uploads are pipelined, downloads prefetched, and a `stat` follows each."""

    name = "paramiko"

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507 - our own server
        client.connect(
            "127.0.0.1", visitor.port, username=visitor.username, key_filename=str(visitor.key),
            look_for_keys=False, allow_agent=False, timeout=visitor.seconds,
        )  # fmt: skip
        try:
            with client.open_sftp() as sftp:
                results = [_PARAMIKO[type(step)](sftp, step) for step in steps]
        finally:
            client.close()
        return listings_among(steps, results)


def _paramiko_resume(sftp: paramiko.SFTPClient, step: Resume) -> None:
    with step.local.open("rb") as source, sftp.open(step.remote, "ab") as target:
        source.seek(target.tell())
        target.write(source.read())


def _paramiko_put_tree(sftp: paramiko.SFTPClient, step: PutTree) -> None:
    sftp.mkdir(step.remote)
    for path in step.files():
        sftp.put(str(path), f"{step.remote}/{path.name}")


def _paramiko_get_tree(sftp: paramiko.SFTPClient, step: GetTree) -> None:
    step.local.mkdir()
    for name in sftp.listdir(step.remote):
        sftp.get(f"{step.remote}/{name}", str(step.local / name))


_PARAMIKO: Deeds[paramiko.SFTPClient, object] = {
    Put: lambda sftp, step: sftp.put(str(step.local), step.remote),
    Get: lambda sftp, step: sftp.get(step.remote, str(step.local)),
    Resume: _paramiko_resume,
    PutTree: _paramiko_put_tree,
    GetTree: _paramiko_get_tree,
    Rename: lambda sftp, step: sftp.rename(step.old, step.new),
    List: lambda sftp, step: sftp.listdir(step.path),
    MakeDirectory: lambda sftp, step: sftp.mkdir(step.path),
    RemoveDirectory: lambda sftp, step: sftp.rmdir(step.path),
    Remove: lambda sftp, step: sftp.remove(step.path),
}


class AsyncSsh(Client):
    """Its own copying of trees, with many requests under way."""

    name = "asyncssh"

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        return asyncio.run(asyncio.wait_for(self._visit(visitor, steps), visitor.seconds))

    async def _visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        async with (
            asyncssh.connect(
                "127.0.0.1", visitor.port, username=visitor.username,
                client_keys=[str(visitor.key)], known_hosts=None, config=None, agent_path=None,
            ) as connection,
            connection.start_sftp_client() as sftp,
        ):  # fmt: skip
            results = [await _ASYNCSSH[type(step)](sftp, step) for step in steps]
        return listings_among(steps, results)


async def _asyncssh_resume(sftp: asyncssh.SFTPClient, step: Resume) -> None:
    async with sftp.open(step.remote, "r+b") as target:
        begun = (await target.stat()).size or 0
        await target.write(step.local.read_bytes()[begun:], offset=begun)


_ASYNCSSH: Deeds[asyncssh.SFTPClient, Awaitable[object]] = {
    Put: lambda sftp, step: sftp.put(step.local, step.remote),
    Get: lambda sftp, step: sftp.get(step.remote, step.local),
    Resume: _asyncssh_resume,
    PutTree: lambda sftp, step: sftp.put(step.local, step.remote, recurse=True),
    GetTree: lambda sftp, step: sftp.get(step.remote, step.local, recurse=True),
    Rename: lambda sftp, step: sftp.rename(step.old, step.new),
    List: lambda sftp, step: sftp.listdir(step.path),
    MakeDirectory: lambda sftp, step: sftp.mkdir(step.path),
    RemoveDirectory: lambda sftp, step: sftp.rmdir(step.path),
    Remove: lambda sftp, step: sftp.remove(step.path),
}


_MODE, _DIRECTORY_MODE = 0o644, 0o755


class Libssh2(Client):
    """The library under curl, PHP's `ssh2` and many others, in a newer version than curl's."""

    name = "libssh2"

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        with socket.create_connection(("127.0.0.1", visitor.port), visitor.seconds) as connection:
            session = Session()
            session.handshake(connection)
            session.userauth_publickey_fromfile(visitor.username, str(visitor.key))
            sftp = session.sftp_init()
            results = [_LIBSSH2[type(step)](sftp, step) for step in steps]
            # The channel is closed when the library lets go of it, and before the connection.
            del sftp
            session.disconnect()
        return listings_among(steps, results)


def _send(sftp: SFTP, local: Path, remote: str, *, begun: int | None = None) -> None:
    flags = LIBSSH2_FXF_WRITE
    if begun is None:
        flags |= LIBSSH2_FXF_CREAT | LIBSSH2_FXF_TRUNC
    with local.open("rb") as source, sftp.open(remote, flags, _MODE) as target:
        if begun is not None:
            source.seek(begun)
            target.seek64(begun)
        while block := source.read(1024 * 1024):
            target.write(block)


def _fetch(sftp: SFTP, remote: str, local: Path) -> None:
    with sftp.open(remote, LIBSSH2_FXF_READ, 0) as source, local.open("wb") as target:
        for _, block in source:
            target.write(block)


def _names(sftp: SFTP, path: str) -> list[str]:
    with sftp.opendir(path) as directory:
        return [name.decode() for _, name, _ in directory.readdir()]


def _libssh2_put_tree(sftp: SFTP, step: PutTree) -> None:
    sftp.mkdir(step.remote, _DIRECTORY_MODE)
    for path in step.files():
        _send(sftp, path, f"{step.remote}/{path.name}")


def _libssh2_get_tree(sftp: SFTP, step: GetTree) -> None:
    step.local.mkdir()
    for name in _names(sftp, step.remote):
        _fetch(sftp, f"{step.remote}/{name}", step.local / name)


_LIBSSH2: Deeds[SFTP, object] = {
    Put: lambda sftp, step: _send(sftp, step.local, step.remote),
    Get: lambda sftp, step: _fetch(sftp, step.remote, step.local),
    Resume: lambda sftp, step: _send(
        sftp, step.local, step.remote, begun=sftp.stat(step.remote).filesize
    ),
    PutTree: _libssh2_put_tree,
    GetTree: _libssh2_get_tree,
    Rename: lambda sftp, step: sftp.rename(step.old, step.new),
    List: lambda sftp, step: _names(sftp, step.path),
    MakeDirectory: lambda sftp, step: sftp.mkdir(step.path, _DIRECTORY_MODE),
    RemoveDirectory: lambda sftp, step: sftp.rmdir(step.path),
    Remove: lambda sftp, step: sftp.unlink(step.path),
}
