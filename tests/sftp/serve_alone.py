# SPDX-License-Identifier: Apache-2.0
"""The server as a program of its own, for tests that kill it: HOME USERNAME UUID KEY-FILE.

Prints its port. The account and its key are all that it knows, and its
database is away.
"""

import asyncio
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncssh
import uvloop

from nightdrop.cli.listening import bind_ports
from nightdrop.config import Config
from nightdrop.core.accounts import Account, AccountKey, Snapshot
from nightdrop.core.events import Event
from nightdrop.sftp.server import Server
from nightdrop.storage.journal import Journal
from nightdrop.storage.ledger import Ledger
from nightdrop.storage.tree import Tree


async def serve(config: Config, account: Account) -> None:
    """Serve until the process is killed."""

    def watch(stop: threading.Event) -> Iterator[Snapshot]:
        yield Snapshot.of(account, taken_at=datetime.now(UTC))
        stop.wait()

    def ship(batch: Sequence[Event]) -> None:
        raise ConnectionError(len(batch))

    server = Server(
        config,
        tree=Tree(config.tree),
        journal=Journal(config.journal_dir),
        ledger=Ledger.join(config.ledger_file),
    )
    port = await server.start(listeners=bind_ports(config, ["sftp"]), watch=watch, ship=ship)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    """Read the arguments and serve."""
    home, username, district, key_file = sys.argv[1:]
    key = asyncssh.read_private_key(Path(key_file))
    installed = AccountKey(key.get_fingerprint(), key.public_data, "test")
    config = Config(home=Path(home), sftp_port=0, seal_quiet_seconds=0.1)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config, Account(UUID(district), username, keys=(installed,))))


if __name__ == "__main__":
    main()
