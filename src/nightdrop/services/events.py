# SPDX-License-Identifier: Apache-2.0
"""Events from the nodes' journals: kept for the audit, and acted upon where they matter."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q

from nightdrop.core.events import JSON, Event, EventKind
from nightdrop.db.access import in_district
from nightdrop.db.models import AccountKey, AuditEvent, District
from nightdrop.services.deliveries import end_session, record_seal
from nightdrop.storage.seal import SealRecord

log = structlog.get_logger()


def ship(events: Sequence[Event], *, settle_seconds: float) -> None:
    """Bring events from a journal into the database; exactly once, however often called.

    A `sealed` event makes its delivery known, a `session-ended` one lets its epochs go,
    an accepted login marks its key as used. An event of a kind that this version does not
    know is kept, and nothing else is done about it. Raises what the database raises when it
    is away: the journal then keeps the events.
    """
    by_district: dict[UUID | None, list[Event]] = defaultdict(list)
    for event in events:
        by_district[event.district].append(event)
    for district, group in by_district.items():
        if district is None:
            with transaction.atomic():
                _keep(group)
            continue
        with in_district(district):
            if not District.objects.filter(id=district).exists():
                # The district was purged after its node wrote this; nothing of it is kept.
                continue
            _keep(group)
            _mark_used(group)
        for event in group:
            _act(event, district, settle_seconds=settle_seconds)


def _keep(events: Sequence[Event]) -> None:
    AuditEvent.objects.bulk_create(
        (
            AuditEvent(
                id=event.id,
                district_id=event.district,
                session=event.session,
                at=event.at,
                kind=event.kind,
                facts=_storable(dict(event.facts)),
            )
            for event in events
        ),
        ignore_conflicts=True,
    )


def _storable(fact: JSON) -> JSON:
    """Replace what the database takes in no text, and a client may have put into a path.

    An event that can never be stored would keep all later ones of its node waiting.
    """
    if isinstance(fact, str):
        return fact.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    if isinstance(fact, list):
        return [_storable(inner) for inner in fact]
    if isinstance(fact, dict):
        return {str(_storable(name)): _storable(inner) for name, inner in fact.items()}
    return fact


def _mark_used(events: Sequence[Event]) -> None:
    for event in events:
        if event.kind is EventKind.LOGIN_ACCEPTED:
            # Another node may have shipped a later login before.
            AccountKey.objects.filter(
                Q(last_used_at=None) | Q(last_used_at__lt=event.at),
                fingerprint=event.facts.get("fingerprint"),
                revoked_at=None,
            ).update(last_used_at=event.at)


def _act(event: Event, district: UUID, *, settle_seconds: float) -> None:
    if event.kind is EventKind.SEALED:
        try:
            record = SealRecord.from_json(event.facts)
        except (KeyError, ValueError, TypeError):
            # Another version wrote it. The scan reads the seal itself; the journal goes on.
            log.warning("seal-not-understood", district=str(district), id=str(event.id))
            return
        record_seal(record, settle_seconds=settle_seconds)
    elif event.kind is EventKind.SESSION_ENDED and event.session is not None:
        end_session(district, event.session, now=event.at)
