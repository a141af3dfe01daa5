# SPDX-License-Identifier: Apache-2.0
"""When an epoch is tried for sealing. Whether it may seal is decided by `storage.seal`.

- A session that ends by itself tries every epoch that it touched, at once, except those
  whose marker another session wrote that is still there. Whether one is there is known of
  this process's sessions; a marker that none of them wrote may be the work of a session
  that another process serves, and so waits for quiet.
- An epoch that was touched is tried when it has been quiet for a while, whoever is there.
- A session that was cut off is no sign that its sender had finished: quiet decides.

Nothing is lost when none of this happens, since a scan tries every epoch with a marker; it
only takes longer. Everything here runs on the event loop.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

import structlog

from nightdrop.core.errors import Refusal
from nightdrop.core.events import EventKind
from nightdrop.sftp.bridge import Bridge
from nightdrop.sftp.diary import Diary, Writer
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.seal import SealedBy, SealRecord, SealWait, SealWaits, try_seal

log = structlog.get_logger()

#: Where seals made here come from.
_SOURCE: Final = "sftp"
#: So many markers are remembered with the session that wrote them, although it has ended:
#: their epochs wait for another session to close a file, or for a torn one to come again.
_KEPT_MARKS: Final = 1000


@dataclass(slots=True)
class Sealing:
    """One session's part in sealing: what it touched, marked and saw sealed."""

    writer: Writer
    tree: DistrictTree
    diary: Diary
    is_open: bool = True
    touched: set[str] = field(default_factory=set)
    sealed: set[str] = field(default_factory=set)
    #: Files that kept an epoch from being sealed, as the journal has them.
    torn: dict[str, tuple[str, ...]] = field(default_factory=dict)


Key = tuple[UUID, str]


class Sealer:
    """Tries epochs of all sessions of this process."""

    def __init__(self, bridge: Bridge, *, quiet_seconds: float) -> None:
        self._bridge = bridge
        self._quiet_seconds = quiet_seconds
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._marked_by: dict[Key, Sealing] = {}
        self._trying: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    def note(self, sealing: Sealing, *, touched: set[str], marked: set[str]) -> None:
        """Take note of what a session's requests did to epochs."""
        for epoch in marked:
            self._marked_by[sealing.writer.district, epoch] = sealing
        for epoch in touched:
            sealing.touched.add(epoch)
            self._arm(sealing, epoch, self._quiet_seconds)

    async def end(self, sealing: Sealing, *, is_clean: bool) -> None:
        """Take note that a session has ended; `is_clean` says that its client ended it.

        Returns when every epoch that may seal now is sealed.
        """
        sealing.is_open = False
        for epoch in sorted(sealing.touched):
            marker = self._marked_by.get((sealing.writer.district, epoch))
            if is_clean and marker and not marker.is_open and not self._is_stopped:
                await self._try(sealing, epoch, quiet_seconds=0)
        if sealing.sealed:
            sealing.diary.note(EventKind.SESSION_ENDED, epochs=[*sorted(sealing.sealed)])
        self._forget_old_marks()

    async def stop(self) -> None:
        """Try nothing any more, and wait for what is being tried."""
        self._is_stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await asyncio.gather(*self._tasks)

    def _arm(self, sealing: Sealing, epoch: str, seconds: float) -> None:
        """See to it that the epoch is tried in `seconds`, or earlier if that is planned."""
        key = (sealing.writer.district, epoch)
        if key in self._timers or self._is_stopped:
            return
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(seconds, self._fire, sealing, epoch)

    def _fire(self, sealing: Sealing, epoch: str) -> None:
        self._timers.pop((sealing.writer.district, epoch), None)
        task = asyncio.create_task(self._try(sealing, epoch, quiet_seconds=self._quiet_seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget_old_marks(self) -> None:
        if len(self._marked_by) > _KEPT_MARKS:
            self._marked_by = {
                key: marker for key, marker in self._marked_by.items() if marker.is_open
            }

    async def _try(self, sealing: Sealing, epoch: str, *, quiet_seconds: float) -> None:
        """Try to seal, one after the other: a second try would take the first for a writer."""
        turn = self._trying.setdefault((sealing.writer.district, epoch), asyncio.Lock())
        async with turn:
            await self._try_alone(sealing, epoch, quiet_seconds=quiet_seconds)

    async def _try_alone(self, sealing: Sealing, epoch: str, *, quiet_seconds: float) -> None:
        """Try to seal, in the name of the session that wrote the marker if it is known."""
        by = self._marked_by.get((sealing.writer.district, epoch))
        work = partial(
            self._seal,
            by or sealing,
            epoch,
            quiet_seconds=quiet_seconds,
            sealed_by=SealedBy(
                source=_SOURCE,
                session=by.writer.session if by else None,
                fingerprint=(by or sealing).writer.fingerprint,
                # One that is not known is given time to set its files' times.
                session_open=by.is_open if by else True,
            ),
        )
        try:
            result = await self._bridge.run(sealing.writer.district, work)
        except (OSError, Refusal) as fault:
            # A full or failing disk: the scan tries again.
            log.error("seal-failed", fault=type(fault).__name__, epoch=epoch)  # noqa: TRY400
            return
        if isinstance(result, SealRecord):
            self._note_sealed(by or sealing, result)
        else:
            self._note_waits(sealing, epoch, result)

    def _seal(
        self, by: Sealing, epoch: str, *, quiet_seconds: float, sealed_by: SealedBy
    ) -> SealRecord | SealWaits:
        """Try to seal, and tell of it, in a thread: an epoch may have 100,000 files."""
        result = try_seal(
            by.tree, epoch, seal_id=uuid4(), quiet_seconds=quiet_seconds, sealed_by=sealed_by
        )
        if isinstance(result, SealRecord):
            diary = Diary(by.writer, append=self._bridge.append)
            diary.note(EventKind.SEALED, **result.to_json())
        return result

    def _note_sealed(self, by: Sealing, record: SealRecord) -> None:
        key = (by.writer.district, record.epoch)
        self._marked_by.pop(key, None)
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if record.session is None:
            return
        if by.is_open:
            by.sealed.add(record.epoch)
        elif record.session_open:
            # It ended while the seal was being made, and could not know of it.
            by.diary.note(EventKind.SESSION_ENDED, epochs=[record.epoch])

    def _note_waits(self, sealing: Sealing, epoch: str, waits: SealWaits) -> None:
        if waits.reason in {SealWait.NO_MARKER, SealWait.SEALED}:
            self._marked_by.pop((sealing.writer.district, epoch), None)
        elif waits.reason is SealWait.QUIET:
            self._arm(sealing, epoch, waits.remaining_seconds)
        elif waits.reason is SealWait.BEING_WRITTEN:
            self._arm(sealing, epoch, self._quiet_seconds)
        elif waits.reason is SealWait.TORN and sealing.torn.get(epoch) != waits.names:
            sealing.torn[epoch] = waits.names
            sealing.diary.note(EventKind.SEAL_WAITS, epoch=epoch, files=list(waits.names))
