# SPDX-License-Identifier: Apache-2.0
"""What one session does, as events for the journal. Synchronous, for the session's threads."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import structlog

from nightdrop.core.epochs import is_epoch_name, marker_of
from nightdrop.core.errors import Refusal
from nightdrop.core.events import JSON, Event, EventKind
from nightdrop.core.paths import ServedPath, Zone
from nightdrop.sftp import requests
from nightdrop.sftp.shares import DistrictShare
from nightdrop.storage.errors import (
    AlreadyThere,
    DiskFull,
    EpochSealed,
    NoSuchFile,
    PlaceRefused,
)

log = structlog.get_logger()

#: An alarm is logged at most this often.
ALARM_SECONDS: Final = 60.0
#: A path that a rule of reading refused is kept this far, to be recognised by its sender.
_KEPT_PATH_BYTES: Final = 300


@dataclass(frozen=True, slots=True)
class Writer:
    """Who acts: one session of one district, opened by one key.

    `share` is what it has in common with the district's other sessions.
    """

    session: UUID
    district: UUID
    fingerprint: str
    share: DistrictShare


class Alarm:
    """Tells the operator of something that goes on, in the log, and not more than once a minute.

    One for a whole process; threads share it.
    """

    def __init__(self, event: str) -> None:
        self._event: Final = event
        self._turn = threading.Lock()
        self._next_at = -math.inf

    def raise_alarm(self, **facts: str) -> None:
        """Log an error, unless that was done less than a minute ago."""
        now = time.monotonic()
        with self._turn:
            if now < self._next_at:
                return
            self._next_at = now + ALARM_SECONDS
        log.error(self._event, **facts)


_disk_full: Final = Alarm("disk-full")


class Diary:
    """Turns what happened in a session into events and hands them to `append`."""

    def __init__(self, writer: Writer, *, append: Callable[[Event], None]) -> None:
        self._writer = writer
        self._append = append
        self._last_refusal: Refusal | None = None

    def note(self, kind: EventKind, **facts: JSON) -> None:
        """Record that something of `kind` happened now."""
        self._append(
            Event(
                id=uuid4(),
                at=datetime.now(UTC),
                kind=kind,
                district=self._writer.district,
                session=self._writer.session,
                facts=facts,
            )
        )

    def written(self, path: ServedPath, *, size_bytes: int) -> None:
        """Record a file that arrived whole."""
        self.note(EventKind.FILE_WRITTEN, path=path.text, size_bytes=size_bytes)
        self._check_marker(path)

    def torn(self, path: ServedPath, *, size_bytes: int) -> None:
        """Record a file whose sender went away before closing it."""
        self.note(EventKind.FILE_TORN, path=path.text, size_bytes=size_bytes)

    def changed(self, kind: EventKind, path: ServedPath) -> None:
        """Record that a directory was made, or a directory or file removed."""
        self.note(kind, path=path.text)

    def renamed(self, old: ServedPath, new: ServedPath) -> None:
        """Record a rename."""
        self.note(EventKind.RENAMED, path=old.text, new_path=new.text)
        self._check_marker(new)

    def refused(self, request: requests.Request, refusal: Refusal) -> None:
        """Record a refusal, if it is news and the district has not had too many."""
        if isinstance(refusal, DiskFull):
            _disk_full.raise_alarm(district=str(self._writer.district))
        # A file that cannot become whole any more refuses each further write in the same words.
        is_repeated = refusal is self._last_refusal
        self._last_refusal = refusal
        if is_repeated or not is_worth_noting(request, refusal):
            return
        name = type(request).__name__
        path = _path_of(request) or _path_in(refusal)
        if isinstance(refusal, EpochSealed):
            self._tell_refusal(
                EventKind.CAME_AFTER_SEAL,
                epoch=refusal.epoch,
                fingerprint=self._writer.fingerprint,
                rule=refusal.code,
                request=name,
                path=path,
            )
        else:
            self.turned_away(refusal.code, request=name, path=path)

    def turned_away(self, rule: str, *, request: str, path: str | None = None) -> None:
        """Record that a rule refused something, if the district has not had too many of that."""
        self._tell_refusal(EventKind.REFUSED, rule=rule, request=request, path=path)

    def _tell_refusal(self, kind: EventKind, **facts: JSON) -> None:
        if self._writer.share.may_tell_refusal(now_seconds=time.monotonic()):
            self.note(kind, **facts)

    def failed(self, request: requests.Request, accident: Exception) -> str:
        """Log what no rule foresaw; return the reference under which it is found."""
        reference = uuid4().hex[:12]
        log.error(
            "sftp-request-failed",
            reference=reference,
            request=type(request).__name__,
            fault=type(accident).__name__,
            errno=getattr(accident, "errno", None),
            district=str(self._writer.district),
            session=str(self._writer.session),
        )
        return reference

    def _check_marker(self, path: ServedPath) -> None:
        """Record a marker that ends no epoch, with a hint why: nothing else would tell."""
        marker = marker_of(path.name)
        if marker is None or path.zone is not Zone.UPLOAD or path.top is None:
            return
        hint = find_marker_hint(path)
        if hint is not None:
            self.note(EventKind.MARKER_OUTSIDE_EPOCH, path=path.text, marker=marker, hint=hint)


def find_marker_hint(path: ServedPath) -> str | None:
    """Say why a marker at `path` ends no epoch; None if it ends one."""
    depth = len(path.parts)
    if depth == len(("upload", "COMPLETE")):
        return "directly-in-upload"
    if not is_epoch_name(path.top or ""):
        return "directory-is-no-epoch"
    if depth > len(("upload", "epoch", "COMPLETE")):
        return "below-the-epoch"
    return None


def is_worth_noting(request: requests.Request, refusal: Refusal) -> bool:
    """Whether a refusal is news.

    Asking whether a name exists, or making a directory that is there, is how clients work.
    """
    if isinstance(refusal, NoSuchFile):
        return False
    return not (isinstance(refusal, AlreadyThere) and isinstance(request, requests.MakeDirectory))


def _path_of(request: requests.Request) -> str | None:
    raw = request.old if isinstance(request, requests.Rename) else getattr(request, "path", None)
    if not isinstance(raw, bytes):
        return None
    return raw[:_KEPT_PATH_BYTES].decode(errors="backslashreplace")


def _path_in(refusal: Refusal) -> str | None:
    """Return the path that a refusal is about, where the request names a handle."""
    return refusal.path.text if isinstance(refusal, PlaceRefused) else None
