# SPDX-License-Identifier: Apache-2.0
"""The server as a program of its own, so that what it uses can be measured: HOME SETTINGS.

SETTINGS is a JSON object. Accounts come from the snapshot that HOME holds; the database is
away. Prints its port, and ends when its input does. The kinds of its events go to HOME/shipped,
one a line.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

from nightdrop.cli.listening import bind_ports
from nightdrop.config import Config
from nightdrop.core.accounts import Snapshot
from nightdrop.core.events import Event
from nightdrop.sftp.process import prepare_process
from nightdrop.sftp.server import Server
from nightdrop.storage.journal import Journal
from nightdrop.storage.ledger import Ledger
from nightdrop.storage.tree import Tree


async def serve(config: Config) -> None:
    """Serve until the process is killed, or whoever started it is gone."""

    def watch(stop: threading.Event) -> Iterator[Snapshot]:
        stop.wait()
        yield from ()

    def ship(batch: Sequence[Event]) -> None:
        with (config.home / "shipped").open("a") as shipped:
            shipped.writelines(f"{event.kind}\n" for event in batch)

    server = Server(
        config,
        tree=Tree(config.tree),
        journal=Journal(config.journal_dir),
        ledger=Ledger.join(config.ledger_file),
    )
    port = await server.start(listeners=bind_ports(config, ["sftp"]), watch=watch, ship=ship)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Read the arguments and serve."""
    home, settings = sys.argv[1:]
    prepare_process()
    config = Config.model_validate({"home": Path(home), "sftp_port": 0, **json.loads(settings)})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config))


if __name__ == "__main__":
    main()
