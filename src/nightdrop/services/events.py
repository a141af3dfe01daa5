# SPDX-License-Identifier: Apache-2.0
"""Events from the nodes' journals: kept for the audit, and acted upon where they matter."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from nightdrop.core.events import Event, EventKind
from nightdrop.db.access import in_district
from nightdrop.db.models import AccountKey, AuditEvent, District
from nightdrop.services.deliveries import end_session, record_seal
from nightdrop.storage.seal import SealRecord


def ship(events: Sequence[Event], *, settle_seconds: float) -> None:
    """Bring events from a journal into the database; exactly once, however often called.

    A `sealed` event makes its delivery known, a `session-ended` one lets its epochs go,
    an accepted login marks its key as used. Raises what the database raises when it is
    away: the journal then keeps the events.
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
                facts=dict(event.facts),
            )
            for event in events
        ),
        ignore_conflicts=True,
    )


def _mark_used(events: Sequence[Event]) -> None:
    for event in events:
        if event.kind is EventKind.LOGIN_ACCEPTED:
            AccountKey.objects.filter(
                fingerprint=event.facts["fingerprint"], revoked_at=None
            ).update(last_used_at=event.at)


def _act(event: Event, district: UUID, *, settle_seconds: float) -> None:
    if event.kind is EventKind.SEALED:
        record_seal(SealRecord.from_json(event.facts), settle_seconds=settle_seconds)
    elif event.kind is EventKind.SESSION_ENDED and event.session is not None:
        end_session(district, event.session, now=event.at)
