# SPDX-License-Identifier: Apache-2.0
"""One channel of a client: an SFTP session, or a polite refusal of anything else.

Requests flow through `_pump`: whole packets are taken from what has arrived, a batch is
answered in a thread, the replies are sent, and the next batch waits until they are gone.
While more requests wait than its share allows, the channel is not read; so neither a client
that never reads nor one that never stops asking can make the server grow.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Final
from uuid import UUID

import asyncssh
import structlog

from nightdrop.sftp.bridge import Bridge
from nightdrop.sftp.connection import Connection
from nightdrop.sftp.diary import Diary, Writer
from nightdrop.sftp.handler import Handler
from nightdrop.sftp.packets import Kind, PacketMalformed, PacketRefused, take_packet
from nightdrop.sftp.sealing import Sealer, Sealing
from nightdrop.sftp.shares import DistrictShare, choose_share
from nightdrop.storage.district import DistrictTree

log = structlog.get_logger()

#: Packets handed to a thread in one go.
_BATCH_PACKETS: Final = 64
#: Not done for a client that has closed its channel and left a heap of them behind.
_READS: Final = frozenset({Kind.READ, Kind.READDIR})


class SessionRoll:
    """The sessions of this process: how many there are, and what is still under way."""

    def __init__(self) -> None:
        self.open_sessions = 0
        self._shares: defaultdict[UUID, DistrictShare] = defaultdict(DistrictShare)
        self.tasks: set[asyncio.Task[None]] = set()

    def share_of(self, district: UUID) -> DistrictShare:
        """Return what the sessions of a district have in common."""
        return self._shares[district]

    def enter(self, district: UUID) -> None:
        """Count a session in."""
        self.open_sessions += 1
        self._shares[district].sessions += 1

    def leave(self, district: UUID) -> None:
        """Count a session out."""
        self.open_sessions -= 1
        self._shares[district].sessions -= 1

    def begin(self, task: asyncio.Task[None]) -> None:
        """Keep a session's task until it is done: it may outlive its channel."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class SftpSession(asyncssh.SSHServerSession[bytes]):
    """A session channel. `sftp` is served; shell and exec get one line and exit status 1.

    `share` is what it may hold.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        writer: Writer,
        tree: DistrictTree,
        bridge: Bridge,
        sealer: Sealer,
        roll: SessionRoll,
        instead: str,
        on_gone: Callable[["SftpSession"], object],
    ) -> None:
        self._connection = connection
        self._bridge = bridge
        self._sealer = sealer
        self._roll = roll
        self.share: Final = choose_share(
            open_sessions=roll.open_sessions, of_district=writer.share.sessions
        )
        self._instead = instead
        self._on_gone = on_gone
        self._district = writer.district
        self._handler = Handler(
            tree,
            Diary(writer, append=bridge.append),
            share=writer.share,
            reply_bytes=self.share.reply_bytes,
        )
        self._diary = Diary(writer, append=bridge.record)
        self._sealing = Sealing(writer, tree, self._diary)
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._arrived = bytearray()
        self._batch: list[bytes] = []
        self._news = asyncio.Event()
        self._is_writable = asyncio.Event()
        self._is_writable.set()
        self._is_reading = True
        self._is_at_end = False
        self._is_cut = False
        self._is_sftp = False

    def is_idle(self) -> bool:
        """Whether no request is waiting and no file is open."""
        return not (self._arrived or self._batch or self._handler.has_open())

    # What asyncssh calls, in the order in which it does.

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """Keep the channel."""
        self._channel = chan
        self._roll.enter(self._district)

    def shell_requested(self) -> bool:
        """Accept, to be able to say something."""
        return True

    def exec_requested(self, command: str) -> bool:
        """Accept, to be able to say something; scp and rsync come here too."""
        del command
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        """Accept SFTP."""
        self._is_sftp = subsystem == "sftp"
        return self._is_sftp

    def session_started(self) -> None:
        """Begin to serve, or refuse."""
        if self._is_sftp:
            self._roll.begin(asyncio.create_task(self._pump()))
        elif self._channel is not None:
            self._diary.turned_away("not-sftp", request="shell-or-exec")
            self._channel.write_stderr(f"{self._instead}\n".encode())
            self._channel.exit(1)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Take in what the client sent."""
        del datatype
        if not self._is_sftp:
            return
        self._arrived += data
        if len(self._arrived) > self.share.waiting_bytes and self._is_reading and self._channel:
            self._is_reading = False
            self._channel.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        """Note that no more will come; what has come is still answered."""
        self._is_at_end = True
        self._news.set()
        return True

    def pause_writing(self) -> None:
        """Note that the client's window is full."""
        self._is_writable.clear()

    def resume_writing(self) -> None:
        """Note that the client has read something."""
        self._is_writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the channel is gone; without `exc`, that its client closed it.

        A client that has said that no more will come may drop the line without waiting.
        """
        if self._channel is not None:
            self._roll.leave(self._district)
            self._on_gone(self)
        self._channel = None
        self._is_cut = self._is_cut or (exc is not None and not self._is_at_end)
        self._is_at_end = True
        self._news.set()
        self._is_writable.set()

    # What goes on in between.

    async def _pump(self) -> None:
        """Answer requests until there are no more, then clean up."""
        try:
            while await self._fill_batch():
                work = partial(self._handler.handle, self._batch)
                outcome = await self._bridge.run(self._district, work)
                del self._batch[: outcome.handled]
                self._sealer.note(self._sealing, touched=outcome.touched, marked=outcome.marked)
                await self._send(outcome.replies)
        except (PacketRefused, PacketMalformed) as refusal:
            self._diary.turned_away(refusal.code, request="packet")
            self._is_cut = True
        finally:
            await self._finish()

    async def _fill_batch(self) -> bool:
        """Wait for packets to answer; return False when the session is over.

        When its end was not the client's doing, what was still waiting is dropped: the
        client cannot have been told that any of it was done.
        """
        while not self._is_cut:
            self._take_packets()
            if self._batch:
                return True
            if self._is_at_end:
                return False
            self._news.clear()
            await self._news.wait()
        return False

    def _take_packets(self) -> None:
        while len(self._batch) < _BATCH_PACKETS:
            packet = take_packet(self._arrived)
            if packet is None:
                break
            if self._channel is not None or packet[0] not in _READS:
                self._batch.append(packet)
        has_room = len(self._arrived) <= self.share.waiting_bytes
        if has_room and not self._is_reading and self._channel:
            self._is_reading = True
            self._channel.resume_reading()

    async def _send(self, replies: bytes) -> None:
        """Send, and wait until the client and the socket have taken nearly all of it."""
        if self._channel is None or self._channel.is_closing():
            return
        self._channel.write(replies)
        await self._is_writable.wait()
        await self._connection.drained()

    async def _finish(self) -> None:
        """Give up open handles, seal what may be sealed, and close the channel.

        The channel is closed last: a client that waits for its end knows that its epoch
        is sealed.
        """
        await self._bridge.run(self._district, self._handler.abandon)
        await self._sealer.end(self._sealing, is_clean=not self._is_cut)
        if self._channel is not None:
            self._channel.exit(1 if self._is_cut else 0)
