# SPDX-License-Identifier: Apache-2.0
"""The server: starts with a configuration, stops without cutting off what is under way."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog

from nightdrop.config import Config
from nightdrop.core.accounts import Account, SnapshotDamaged
from nightdrop.sftp.algorithms import LEGACY, MODERN, Profile
from nightdrop.sftp.bridge import Bridge, Ship, Watch
from nightdrop.sftp.guard import Guard
from nightdrop.sftp.hostkeys import HostKeyRing, HostKeys
from nightdrop.sftp.listener import Listener
from nightdrop.sftp.sealing import Sealer
from nightdrop.sftp.snapshot import SnapshotHolder
from nightdrop.sftp.visit import House, Visit
from nightdrop.storage.journal import Journal
from nightdrop.storage.ledger import Ledger
from nightdrop.storage.tree import Tree

log = structlog.get_logger()

#: What each port speaks, by the setting that names it.
_PROFILES: Final[Mapping[str, Profile]] = {"sftp_port": MODERN, "sftp_legacy_port": LEGACY}
#: How often logins are looked at again for keys that expire.
_RECHECK_SECONDS: Final = 0.5
#: How often a stopping server looks which sessions have come to rest.
_STOP_POLL_SECONDS: Final = 0.25
#: After how long without a request a session has come to rest.
_REST_SECONDS: Final = 1.0
#: How long a first start waits for keys before it takes clients regardless.
_PATIENCE_SECONDS: Final = 5.0
_STOPPING: Final = "The server is restarting. Connect again in a moment."


class Server:
    """The SFTP server of this process. Make it, start it and stop it on the loop's thread."""

    def __init__(self, config: Config, *, tree: Tree, journal: Journal, ledger: Ledger) -> None:
        bridge = Bridge(journal)
        self._ledger = ledger
        self._house = House(
            config=config,
            tree=tree,
            bridge=bridge,
            sealer=Sealer(bridge, quiet_seconds=config.seal_quiet_seconds),
            snapshots=SnapshotHolder(config.snapshot_file),
            guard=Guard(ledger, config=config),
        )
        #: The accounts as they were when they were last looked at.
        self._accounts: Mapping[str, Account] | None = None
        #: The ports that are listened on, by the settings that name them.
        self.ports: Final[dict[str, int]] = {}
        self._listeners: Final[dict[str, Listener]] = {}
        self._rechecks: asyncio.Task[None] | None = None
        self._has_snapshot = asyncio.Event()

    async def start(
        self,
        *,
        listeners: Mapping[str, socket.socket],
        watch: Watch,
        ship: Ship,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> int:
        """Begin to take connections; return the modern port, see `ports` for all.

        `listeners` has a bound socket for each setting that names a port; other processes of
        this node may take connections from the same ones. `watch` and `ship` run in threads
        of their own, see `sftp.bridge`. While there is no snapshot at all, clients wait for
        the first one: they would be refused. After `patience_seconds` they are.
        """
        house = self._house
        kinds = (kind for name in listeners for kind in _PROFILES[name].host_keys)
        ring = HostKeyRing(house.config.hostkeys_dir, tuple(dict.fromkeys(kinds)))
        keys = await asyncio.to_thread(self._prepare, ring)
        for name, bound in listeners.items():
            self._listeners[name] = Listener(house, _PROFILES[name], keys=keys)
            self.ports[name] = await self._listeners[name].open(bound)
        house.bridge.follow_host_keys(lambda: ring.look(now=datetime.now(UTC)), on_change=self._use)
        house.bridge.follow_keys(watch, house.snapshots, on_change=self._on_snapshot)
        house.bridge.ship_events(ship)
        if house.snapshots.current is None:
            await _wait_for(self._has_snapshot, patience_seconds)
        for listener in self._listeners.values():
            await listener.start()
        self._rechecks = asyncio.create_task(self._recheck_often())
        return self.ports["sftp_port"]

    async def stop(self, *, grace_seconds: float) -> None:
        """Accept nobody any more, let sessions come to rest for a while, then end them.

        A session rests when it has no file open and its client has asked for nothing for a
        while: between two files of a batch there is nothing open either.
        """
        for listener in self._listeners.values():
            listener.close()
        if self._rechecks is not None:
            self._rechecks.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_seconds
        # Who was taken just before is among the visits after this.
        await asyncio.sleep(0)
        heard: dict[Visit, tuple[int, float]] = {}
        while self._house.visits and loop.time() < deadline:
            self._end_resting(heard, now=loop.time())
            await asyncio.sleep(_STOP_POLL_SECONDS)
        self._end(self._house.visits)
        await self._house.sealer.stop()
        if tasks := self._house.roll.tasks:
            await asyncio.wait(tasks)
        await asyncio.to_thread(self._house.bridge.close)
        self._ledger.close()

    def _prepare(self, ring: HostKeyRing) -> HostKeys:
        """Do what touches files before the first client comes."""
        try:
            self._house.snapshots.load()
        except (SnapshotDamaged, OSError) as fault:
            log.warning("snapshot-not-loaded", fault=type(fault).__name__)
        if (snapshot := self._house.snapshots.current) is not None:
            self._accounts = snapshot.accounts
        return ring.load(now=datetime.now(UTC))

    def _use(self, keys: HostKeys) -> None:
        """Greet whoever connects from now on with these host keys."""
        following = [key.get_fingerprint() for key in keys.next_keys]
        log.info("host-keys-read", signing=keys.fingerprints(), following=following)
        for listener in self._listeners.values():
            listener.use(keys)

    def _on_snapshot(self) -> None:
        self._has_snapshot.set()
        self._forget_changed()
        self._recheck()

    def _forget_changed(self) -> None:
        """Lift what names must wait whose accounts have changed: a new key works at once."""
        snapshot = self._house.snapshots.current
        if snapshot is None:
            return
        before, self._accounts = self._accounts, snapshot.accounts
        if before is None or before == snapshot.accounts:
            return
        names = before.keys() | snapshot.accounts.keys()
        self._house.guard.forget_names(
            name for name in names if before.get(name) != snapshot.accounts.get(name)
        )

    def _recheck(self) -> None:
        """End the visits whose login would be refused now."""
        now = datetime.now(UTC)
        for visit in tuple(self._house.visits):
            visit.recheck(now=now)

    async def _recheck_often(self) -> None:
        while True:
            await asyncio.sleep(_RECHECK_SECONDS)
            self._recheck()

    def _end_resting(self, heard: dict[Visit, tuple[int, float]], *, now: float) -> None:
        """End the visits that rest. `heard` is how many packets each had sent, since when."""
        for visit in tuple(self._house.visits):
            packets = visit.count_packets()
            before, since = heard.get(visit, (-1, now))
            if packets != before or not visit.is_idle():
                heard[visit] = packets, now
            elif now - since >= _REST_SECONDS:
                visit.end(_STOPPING)

    @staticmethod
    def _end(visits: Iterable[Visit]) -> None:
        for visit in tuple(visits):
            visit.end(_STOPPING)


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait until `event` is set or the time is over, whichever comes first."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
