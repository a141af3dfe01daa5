# SPDX-License-Identifier: Apache-2.0
"""What happened on the SFTP server, as values and as lines of the journal.

One line of JSON is one event, so that a journal can be read with any tool. Exactly-once rests
on `Event.id`: whoever keeps events ignores an id that it has.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeAlias
from uuid import UUID

from nightdrop.core.errors import Refusal

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


class EventKind(StrEnum):
    """What an event tells."""

    #: A key opened an account.
    LOGIN_ACCEPTED = "login-accepted"
    #: A connection whose key had opened an account ended.
    DISCONNECTED = "disconnected"
    #: A login failed; the facts say why.
    LOGIN_REFUSED = "login-refused"
    #: A rule refused a request.
    REFUSED = "refused"
    #: A file was written and its last handle closed cleanly.
    FILE_WRITTEN = "file-written"
    #: A file was being written when its connection broke.
    FILE_TORN = "file-torn"
    #: A directory was made.
    DIRECTORY_MADE = "directory-made"
    #: A directory was removed.
    DIRECTORY_REMOVED = "directory-removed"
    #: A file was removed.
    FILE_REMOVED = "file-removed"
    #: A file or directory got another name.
    RENAMED = "renamed"
    #: An epoch was sealed; the facts are the seal record.
    SEALED = "sealed"
    #: A session that sealed something ended.
    SESSION_ENDED = "session-ended"
    #: An epoch has its marker and cannot be sealed yet; the facts say why.
    SEAL_WAITS = "seal-waits"
    #: A write came for an epoch that was sealed already.
    CAME_AFTER_SEAL = "came-after-seal"
    #: A marker was put where it marks nothing.
    MARKER_OUTSIDE_EPOCH = "marker-outside-epoch"
    #: A source, or a name tried from it, must wait after too many failed logins.
    PENALISED = "penalised"
    #: A client asked for proof of a host key that it did not know, and now knows it.
    HOST_KEY_LEARNED = "host-key-learned"
    #: Events about files were given up, because a journal had grown too large.
    JOURNAL_THINNED = "journal-thinned"


class Ending(StrEnum):
    """How a connection that had logged in ended: the fact `reason` of `DISCONNECTED`."""

    #: The client said goodbye.
    CLOSED = "closed"
    #: The client left without a word, or the network did.
    LOST = "lost"
    #: The server ended it; the fact `told` is what the client was told.
    ENDED = "ended"
    #: One of both did not keep to the protocol.
    FAILED = "failed"


#: What happened to single files and directories. A journal that has grown too large gives up
#: the oldest of these, and nothing else.
FILE_KINDS: Final = frozenset(
    {
        EventKind.FILE_WRITTEN,
        EventKind.FILE_TORN,
        EventKind.DIRECTORY_MADE,
        EventKind.DIRECTORY_REMOVED,
        EventKind.FILE_REMOVED,
        EventKind.RENAMED,
    }
)

#: What somebody waits for: a night's check and its end, a technician before a refused login.
#: All else may wait a second for company; to tell the database of each event at once took a
#: quarter of the work of a night.
URGENT_KINDS: Final = frozenset(
    {
        EventKind.SEALED,
        EventKind.SESSION_ENDED,
        EventKind.LOGIN_REFUSED,
        EventKind.PENALISED,
    }
)

#: A kind that this version does not know, in a form that the database has room for.
_FOREIGN_KIND: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened; `facts` are ids, names and codes, never content.

    `kind` is an `EventKind`, or a text when a newer version wrote the event: it is kept for
    the audit, and nothing else is done about it.
    """

    id: UUID
    at: datetime
    kind: EventKind | str
    district: UUID | None = None
    session: UUID | None = None
    facts: Mapping[str, JSON] = field(default_factory=dict)


class NotAnEvent(Refusal):
    """A line of a journal cannot be read; `line` is that."""

    code: ClassVar[str] = "not-an-event"

    def __init__(self, line: bytes) -> None:
        super().__init__(line)
        self.line = line


def write_event(event: Event) -> bytes:
    """Write an event as one line of a journal, its end included.

    Shape:   JSON with `id`, `at` (ISO 8601 with its offset), `kind`, `district`, `session`,
             `facts`; ASCII, so that a cut line can never be half a character.
    """
    line = {
        "id": str(event.id),
        "at": event.at.isoformat(),
        "kind": event.kind,
        "district": _write_uuid(event.district),
        "session": _write_uuid(event.session),
        "facts": dict(event.facts),
    }
    return json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"


def read_event(line: bytes) -> Event:
    """Read one line of a journal; `write_event` says its shape.

    Raises:  NotAnEvent, for a line that was cut or is of another making.
    """
    try:
        found: Any = json.loads(line)
        return Event(
            id=UUID(found["id"]),
            at=_read_moment(found["at"]),
            kind=_read_kind(found["kind"]),
            district=_read_uuid(found["district"]),
            session=_read_uuid(found["session"]),
            facts=dict(found["facts"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotAnEvent(line) from None


def _read_kind(text: str) -> EventKind | str:
    """Read a kind; one that is unknown must not be lost when a version is taken back."""
    try:
        return EventKind(text)
    except ValueError:
        if _FOREIGN_KIND.fullmatch(text):
            return text
        raise


def _read_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _write_uuid(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _read_uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)
