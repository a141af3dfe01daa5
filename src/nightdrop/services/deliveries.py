# SPDX-License-Identifier: Apache-2.0
"""The life of a delivery in the database: only `move` changes its state.

A move is a compare-and-set on the old state, a `Transition` row and the follow-up job,
in one transaction. Zero rows changed means that somebody else made a move: the loser
returns and nothing of its work is kept.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from nightdrop.core.delivery.machine import MOVES_AWAY, RESTS_IN_PLACE, Event, State, next_step
from nightdrop.db.access import in_district, lock_queue
from nightdrop.db.models import Delivery, Transition
from nightdrop.services.queue import Job, defer
from nightdrop.storage.records import SealRecord

#: What must happen when a delivery arrives in a state.
FOLLOW_UPS: dict[State, Job] = {
    State.SEALED: Job.CHECK,
    State.READY: Job.LOAD,
    **dict.fromkeys(MOVES_AWAY | RESTS_IN_PLACE, Job.FINISH),
}


def record_seal(record: SealRecord, *, settle_seconds: float) -> bool:
    """Make a sealed epoch known and start its check. Returns False when it was known.

    1. Take the district's queue lock; who reports the same seal meanwhile waits.
    2. Insert the delivery under the seal's UUID; a second report of a seal ends here.
    3. Write the first transition and defer the check, in the same transaction.
    """
    with in_district(record.district):
        lock_queue(record.district)
        if Delivery.objects.filter(id=record.id).exists():
            return False
        settles_at = record.sealed_at
        if record.session_open:
            settles_at += timedelta(seconds=settle_seconds)
        Delivery.objects.create(
            id=record.id,
            district_id=record.district,
            epoch=record.epoch,
            marker=record.marker,
            source=record.source,
            session=record.session,
            fingerprint=record.fingerprint,
            sealed_at=record.sealed_at,
            state=State.SEALED,
            state_since=record.sealed_at,
            settles_at=settles_at,
            files=[
                {"name": file.name, "size_bytes": file.size_bytes, "sha256": None, "rows": None}
                for file in record.files
            ],
            late_files=[file.name for file in record.files if file.after_marker],
        )
        Transition.objects.create(
            district_id=record.district,
            delivery_id=record.id,
            before="",
            event="seal",
            after=State.SEALED,
            at=record.sealed_at,
        )
        defer(Job.CHECK, district=record.district, delivery=record.id)
    return True


def move(
    delivery: Delivery,
    event: Event,
    *,
    now: datetime,
    reason: str = "",
    **fields: Any,  # noqa: ANN401
) -> bool:
    """Move a delivery by an event; False when somebody else moved it first.

    Call it inside `in_district`. `fields` are columns that change with the state. The
    delivery in hand is brought up to date. Raises IllegalTransition.
    """
    step = next_step(State(delivery.state), event)
    # RESUME takes a step up again after a crash: the state does not change, its clock does.
    changed = Delivery.objects.filter(id=delivery.id, state=step.before).update(
        state=step.after, state_since=now, finished_at=None, **fields
    )
    if not changed:
        return False
    Transition.objects.create(
        district_id=delivery.district_id,
        delivery_id=delivery.id,
        before=step.before,
        event=event,
        after=step.after,
        at=now,
        reason=reason,
    )
    job = FOLLOW_UPS.get(step.after)
    if job is not None:
        defer(job, district=delivery.district_id, delivery=delivery.id)
    delivery.refresh_from_db()
    return True


def end_session(district: UUID, session: UUID, *, now: datetime) -> None:
    """Let the epochs go that waited for the session that sealed them.

    Their rows are locked: a delivery that comes to rest meanwhile either waits and then finds
    that it may leave, or is seen here at rest and is sent off.
    """
    with in_district(district):
        waiting = Delivery.objects.select_for_update(no_key=True).filter(
            session=session, finished_at=None, settles_at__gt=now
        )
        for delivery in waiting.order_by("id"):
            Delivery.objects.filter(id=delivery.id).update(settles_at=now)
            if FOLLOW_UPS.get(State(delivery.state)) is Job.FINISH:
                defer(Job.FINISH, district=district, delivery=delivery.id)


def list_deliveries(district: UUID, *, limit: int = 1000) -> list[Delivery]:
    """Return a district's deliveries, newest first."""
    with in_district(district):
        return list(Delivery.objects.order_by("-sealed_at", "-id")[:limit])


def list_transitions(district: UUID, delivery: UUID) -> list[Transition]:
    """Return the moves of a delivery, in order."""
    with in_district(district):
        return list(Transition.objects.filter(delivery_id=delivery).order_by("id"))
