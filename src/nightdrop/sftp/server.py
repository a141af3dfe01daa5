# SPDX-License-Identifier: Apache-2.0
"""The listener: starts with a configuration, stops without cutting off what is under way."""

import asyncio
import contextlib
import errno
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import asyncssh
import structlog

from nightdrop.config import Config
from nightdrop.core.accounts import SnapshotDamaged
from nightdrop.core.errors import Refusal
from nightdrop.sftp.algorithms import CIPHERS, MACS, SIGNATURES, choose_key_exchanges
from nightdrop.sftp.bridge import Bridge, Ship, Watch
from nightdrop.sftp.connection import Connection
from nightdrop.sftp.hostkeys import HostKeys, load_host_keys
from nightdrop.sftp.sealing import Sealer
from nightdrop.sftp.snapshot import SnapshotHolder
from nightdrop.sftp.visit import House, Visit
from nightdrop.storage.journal import Journal
from nightdrop.storage.tree import Tree

log = structlog.get_logger()

_BACKLOG: Final = 1024
#: A client that does not answer this many questions, so far apart, is gone.
_KEEPALIVE_SECONDS: Final = 30
_KEEPALIVE_COUNT: Final = 3
#: How often logins are looked at again for keys that expire.
_RECHECK_SECONDS: Final = 0.5
#: How often a stopping server looks which sessions have come to rest.
_STOP_POLL_SECONDS: Final = 0.25
#: How long a first start waits for keys before it takes clients regardless.
_PATIENCE_SECONDS: Final = 5.0
_STOPPING: Final = "The server is restarting. Connect again in a moment."


class PortTaken(Refusal):
    """Another program listens on `port` of `address`."""

    code = "port-taken"

    def __init__(self, address: str, port: int) -> None:
        super().__init__(address, port)
        self.address = address
        self.port = port


class Server:
    """The SFTP server of this process. Make it, start it and stop it on the loop's thread."""

    def __init__(self, config: Config, *, tree: Tree, journal: Journal) -> None:
        bridge = Bridge(journal)
        self._house = House(
            config=config,
            tree=tree,
            bridge=bridge,
            sealer=Sealer(bridge, quiet_seconds=config.seal_quiet_seconds),
            snapshots=SnapshotHolder(config.snapshot_file),
        )
        self._listener: asyncio.Server | None = None
        self._rechecks: asyncio.Task[None] | None = None
        self._has_snapshot = asyncio.Event()

    async def start(
        self, *, watch: Watch, ship: Ship, patience_seconds: float = _PATIENCE_SECONDS
    ) -> int:
        """Begin to listen; return the port.

        `watch` and `ship` run in threads of their own, see `sftp.bridge`. While there is no
        snapshot at all, clients wait for the first one: they would be refused. After
        `patience_seconds` they are.

        Raises:  PortTaken.
        """
        house = self._house
        keys = await asyncio.to_thread(self._prepare)
        options = make_options(house, keys)
        listener = await self._listen(options)
        house.port = int(listener.sockets[0].getsockname()[1])
        house.bridge.follow_keys(watch, house.snapshots, on_change=self._on_snapshot)
        house.bridge.ship_events(ship)
        if house.snapshots.current is None:
            await _wait_for(self._has_snapshot, patience_seconds)
        await listener.start_serving()
        self._rechecks = asyncio.create_task(self._recheck_often())
        return house.port

    async def stop(self, *, grace_seconds: float) -> None:
        """Accept nobody any more, let sessions come to rest for a while, then end them."""
        if self._listener is not None:
            self._listener.close()
        if self._rechecks is not None:
            self._rechecks.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_seconds
        while self._house.visits and loop.time() < deadline:
            self._end(visit for visit in self._house.visits if visit.is_idle())
            await asyncio.sleep(_STOP_POLL_SECONDS)
        self._end(self._house.visits)
        await self._house.sealer.stop()
        if tasks := self._house.roll.tasks:
            await asyncio.wait(tasks)
        await asyncio.to_thread(self._house.bridge.close)

    def _prepare(self) -> HostKeys:
        """Do what touches files before the first client comes."""
        house = self._house
        try:
            house.snapshots.load()
        except (SnapshotDamaged, OSError) as fault:
            log.warning("snapshot-not-loaded", fault=type(fault).__name__)
        return load_host_keys(house.config.hostkeys_dir)

    async def _listen(self, options: asyncssh.SSHServerConnectionOptions) -> asyncio.Server:
        config, loop = self._house.config, asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                partial(Connection, loop, options),
                config.bind,
                config.sftp_port,
                backlog=_BACKLOG,
                start_serving=False,
            )
        except OSError as fault:
            if fault.errno == errno.EADDRINUSE:
                raise PortTaken(config.bind, config.sftp_port) from fault
            raise
        return self._listener

    def _on_snapshot(self) -> None:
        self._has_snapshot.set()
        self._recheck()

    def _recheck(self) -> None:
        """End the visits whose login would be refused now."""
        now = datetime.now(UTC)
        for visit in tuple(self._house.visits):
            visit.recheck(now=now)

    async def _recheck_often(self) -> None:
        while True:
            await asyncio.sleep(_RECHECK_SECONDS)
            self._recheck()

    @staticmethod
    def _end(visits: Iterable[Visit]) -> None:
        for visit in tuple(visits):
            visit.end(_STOPPING)


def make_options(house: House, keys: HostKeys) -> asyncssh.SSHServerConnectionOptions:
    """Return what asyncssh needs to know, everything named: its defaults are permissive."""
    options = asyncssh.SSHServerConnectionOptions(
        server_factory=partial(Visit, house),
        server_host_keys=list(keys.keys),
        send_server_host_keys=True,
        server_version="Nightdrop",
        kex_algs=choose_key_exchanges(),
        encryption_algs=CIPHERS,
        mac_algs=MACS,
        signature_algs=SIGNATURES,
        compression_algs=["none"],
        encoding=None,
        login_timeout=house.config.login_grace_seconds,
        keepalive_interval=_KEEPALIVE_SECONDS,
        keepalive_count_max=_KEEPALIVE_COUNT,
        allow_pty=False,
        line_editor=False,
        agent_forwarding=False,
        x11_forwarding=False,
        gss_host=None,
        gss_kex=False,
        gss_auth=False,
        host_based_auth=False,
        password_auth=False,
        kbdint_auth=False,
        allow_scp=False,
        rdns_lookup=False,
    )
    # In the place of what asyncssh makes of the keys, which signs with SHA-1 as well.
    options.server_host_keys = keys.signers()
    options.all_server_host_keys = keys.provers()
    return options


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait until `event` is set or the time is over, whichever comes first."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
