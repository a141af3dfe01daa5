# SPDX-License-Identifier: Apache-2.0
"""One SFTP process, of which a node has several. Joins the server to the database's services.

Whoever imports this module has set Django up: services reach models.
"""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import uvloop

from nightdrop.config import Config
from nightdrop.core.accounts import Snapshot
from nightdrop.core.events import Event
from nightdrop.db.access import drop_connections
from nightdrop.services import events, keys
from nightdrop.sftp.process import prepare_process
from nightdrop.sftp.server import Server
from nightdrop.storage.journal import Journal
from nightdrop.storage.ledger import Ledger
from nightdrop.storage.tree import Tree

#: How long a stopping server lets transfers go on. The supervisor kills after 30 s.
GRACE_SECONDS = 10.0


def preload_sftp() -> None:
    """Load what would otherwise be loaded at first use, while the code can still be read."""
    "loads.the.codec".encode("idna")


def run_sftp(
    config: Config,
    *,
    listeners: Mapping[str, socket.socket],
    announce: Callable[[str, int], None],
) -> int:
    """Serve SFTP until SIGTERM, and let transfers finish for a while.

    Calls `announce` with "sftp" and its port, and "sftp_legacy" with its own if there is one,
    when connections are taken.
    """
    preload_sftp()
    prepare_process()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, listeners=listeners, announce=announce))
    return 0


async def _serve(
    config: Config,
    *,
    listeners: Mapping[str, socket.socket],
    announce: Callable[[str, int], None],
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    tree = Tree(config.tree)
    await asyncio.to_thread(tree.prepare)
    journal = await asyncio.to_thread(
        Journal, config.journal_dir, max_bytes=config.journal_max_bytes
    )
    ledger = await asyncio.to_thread(Ledger.join, config.ledger_file)
    server = Server(config, tree=tree, journal=journal, ledger=ledger)
    await server.start(listeners=listeners, watch=_make_watch(config), ship=_make_ship(config))
    for setting, port in server.ports.items():
        announce(setting.removesuffix("_port"), port)
    await stopping.wait()
    await server.stop(grace_seconds=GRACE_SECONDS)


def _make_watch(config: Config) -> Callable[[threading.Event], Iterator[Snapshot]]:
    def watch(stop: threading.Event) -> Iterator[Snapshot]:
        return keys.watch_snapshot(
            stop=stop,
            reread_seconds=config.snapshot_reread_seconds,
            clock=lambda: datetime.now(UTC),
        )

    return watch


def _make_ship(config: Config) -> Callable[[Sequence[Event]], None]:
    def ship(batch: Sequence[Event]) -> None:
        try:
            events.ship(batch, settle_seconds=config.settle_seconds)
        except BaseException:
            # The connection may be the reason; the next try begins with a new one.
            drop_connections()
            raise

    return ship
