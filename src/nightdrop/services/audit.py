# SPDX-License-Identifier: Apache-2.0
"""Everything that happened in a district's account, as the journals told it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from nightdrop.core.events import EventKind
from nightdrop.db.access import in_district
from nightdrop.db.models import AuditEvent
from nightdrop.services.attempts import explain_ending, explain_refusal

_PAGE: Final = 500
#: How long before an event its session may have logged in, to be found.
_LONGEST_SESSION: Final = timedelta(days=1)

#: What an event tells, with its facts put in. Logins and ends are told by their own sentences.
_SENTENCES: Final[Mapping[str, str]] = {
    EventKind.LOGIN_ACCEPTED: "logged in with the key {fingerprint}",
    EventKind.REFUSED: "{request} of {path} was refused ({rule})",
    EventKind.FILE_WRITTEN: "{path} was written, {size_bytes} bytes",
    EventKind.FILE_TORN: "{path} did not arrive whole, {size_bytes} bytes",
    EventKind.DIRECTORY_MADE: "{path} was made",
    EventKind.DIRECTORY_REMOVED: "{path} was removed",
    EventKind.FILE_REMOVED: "{path} was removed",
    EventKind.RENAMED: "{path} was renamed to {new_path}",
    EventKind.SEALED: "{epoch} was sealed ({marker})",
    EventKind.SESSION_ENDED: "the session ended that sealed {epochs}",
    EventKind.SEAL_WAITS: "{epoch} cannot be sealed: {files} did not arrive whole",
    EventKind.CAME_AFTER_SEAL: "{path} came after {epoch} was sealed and was refused",
    EventKind.MARKER_OUTSIDE_EPOCH: "{path} is where it ends no epoch ({hint})",
    EventKind.PENALISED: "must wait after too many failed logins",
    EventKind.HOST_KEY_LEARNED: "the client learned the host keys {host_keys}",
    EventKind.JOURNAL_THINNED: "{count} events about files were given up",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedEvent:
    """One event. `address` is that of its session, None where it is not known.

    `sentence` has what a client may have chosen, such as names of files: show it as text.
    """

    id: UUID
    at: datetime
    kind: str
    session: UUID | None
    address: str | None
    sentence: str
    facts: Mapping[str, Any]


def list_events(
    district: UUID, *, since: datetime | None, kind: str | None, limit: int | None
) -> Iterator[AuditedEvent]:
    """Give a district's events, newest first, page by page: none of them stays in memory."""
    before: AuditEvent | None = None
    while limit is None or limit > 0:
        size = _PAGE if limit is None else min(_PAGE, limit)
        page = _read_page(district, since=since, kind=kind, before=before, size=size)
        yield from page
        if len(page) < size:
            return
        limit = None if limit is None else limit - size
        before = AuditEvent(id=page[-1].id, at=page[-1].at)


def describe_event(kind: str, facts: Mapping[str, Any]) -> str:
    """Return what an event tells, in words."""
    if kind == EventKind.LOGIN_REFUSED:
        key = facts.get("fingerprint") or "no key"
        return f"login with {key} failed: {explain_refusal(str(facts.get('reason')))}"
    if kind == EventKind.DISCONNECTED:
        return f"connection ended: {explain_ending(facts)}"
    shown = {name: _show(fact) for name, fact in facts.items()}
    return _SENTENCES.get(kind, kind).format_map(defaultdict(lambda: "?", shown))


def _read_page(
    district: UUID,
    *,
    since: datetime | None,
    kind: str | None,
    before: AuditEvent | None,
    size: int,
) -> list[AuditedEvent]:
    with in_district(district):
        theirs = AuditEvent.objects.filter(district_id=district)
        wanted = theirs if kind is None else theirs.filter(kind=kind)
        if since is not None:
            wanted = wanted.filter(at__gte=since)
        if before is not None:
            same_time = Q(at=before.at, id__lt=before.id)
            wanted = wanted.filter(Q(at__lt=before.at) | same_time, at__lte=before.at)
        events = list(wanted.order_by("-at", "-id")[:size])
        addresses: dict[UUID | None, str] = {}
        if events:
            logins = theirs.filter(
                kind=EventKind.LOGIN_ACCEPTED,
                at__range=(events[-1].at - _LONGEST_SESSION, events[0].at),
                session__in={event.session for event in events if event.session is not None},
            )
            addresses = dict(logins.values_list("session", "facts__address"))
    return [_tell(event, addresses) for event in events]


def _tell(event: AuditEvent, addresses: Mapping[UUID | None, str]) -> AuditedEvent:
    return AuditedEvent(
        id=event.id,
        at=event.at,
        kind=event.kind,
        session=event.session,
        address=event.facts.get("address") or addresses.get(event.session),
        sentence=describe_event(event.kind, event.facts),
        facts=event.facts,
    )


def _show(fact: object) -> str:
    if isinstance(fact, Sequence) and not isinstance(fact, str):
        return ", ".join(map(str, fact))
    return str(fact)
