# SPDX-License-Identifier: Apache-2.0
"""A small client, for machines that have no `sftp`: `python -m nightdrop.sftp.push`.

    make-key FILE                                   writes FILE (0600) and FILE.pub
    put PORT USERNAME KEY EPOCH DIRECTORY           sends a directory's files, the marker last

It talks to a server on this machine only, and so does not ask for a host key.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import asyncssh

from nightdrop.core.epochs import Marker


def make_key(file: Path) -> None:
    """Make an Ed25519 pair without a passphrase."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    file.touch(mode=0o600)
    key.write_private_key(file)
    key.write_public_key(file.with_name(f"{file.name}.pub"))


async def put_epoch(
    files: Sequence[Path], *, port: int, username: str, key: Path, epoch: str
) -> None:
    """Send files into `/upload/<epoch>`, and COMPLETE last."""
    async with (
        asyncssh.connect(
            "127.0.0.1", port, username=username, client_keys=[str(key)], known_hosts=None
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        await sftp.mkdir(f"/upload/{epoch}")
        for file in files:
            await sftp.put(str(file), f"/upload/{epoch}/{file.name}")
        async with sftp.open(f"/upload/{epoch}/{Marker.COMPLETE}", "wb"):
            pass


def main(arguments: list[str]) -> int:
    """Run one of the two; 2 when called wrongly."""
    match arguments:
        case ["make-key", file]:
            make_key(Path(file))
        case ["put", port, username, key, epoch, directory]:
            asyncio.run(
                put_epoch(
                    [file for file in Path(directory).iterdir() if file.name != Marker.COMPLETE],
                    port=int(port),
                    username=username,
                    key=Path(key),
                    epoch=epoch,
                )
            )
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
