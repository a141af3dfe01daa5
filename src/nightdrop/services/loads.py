# SPDX-License-Identifier: Apache-2.0
"""Loading a checked delivery into the roster: one transaction, or not at all."""

from contextlib import ExitStack
from uuid import UUID

from nightdrop.core.delivery.machine import Event, State
from nightdrop.db.access import in_district, lock_roster, roster_connection
from nightdrop.db.models import Delivery
from nightdrop.intake.checked import CheckedBundle
from nightdrop.intake.load import apply, compare, load_order
from nightdrop.services.checks import MAX_ATTEMPTS, Clock, read_delivery
from nightdrop.services.deliveries import move
from nightdrop.services.queue import Job, defer, is_running
from nightdrop.storage.tree import Tree


class _Lost(Exception):
    """Another worker finished this load; ours is rolled back."""


def load_delivery(
    *,
    district: UUID,
    delivery_id: UUID,
    tree: Tree,
    clock: Clock,
    running: Job = Job.LOAD,
    bundle: CheckedBundle | None = None,
) -> bool:
    """Load a `ready` delivery, as part of the job `running`. Returns whether this loaded it.

    1. Take the step, unless it is not due or an earlier delivery has yet to load; or take
       it up again after a worker died in it.
    2. Read the files again, unless `bundle` is what their check has just read.
    3. In one transaction: lock the roster, see that nobody else has finished the load,
       compare, apply, count, move to `loaded`. Killed anywhere: the old roster or the
       new one. Another worker may have been given the same delivery; it waits at the
       lock and then finds the work done.
    """
    delivery = _take_step(
        district, delivery_id, clock=clock, running=running, is_read=bundle is not None
    )
    if delivery is None:
        return False
    with ExitStack() as scratch:
        if bundle is None:
            bundle = scratch.enter_context(read_delivery(delivery, tree=tree, now=clock()))
        try:
            with in_district(district):
                _load(delivery, bundle, clock=clock)
        except _Lost:
            return False
    return delivery.state == State.LOADED


def _take_step(
    district: UUID, delivery_id: UUID, *, clock: Clock, running: Job, is_read: bool
) -> Delivery | None:
    with in_district(district):
        delivery = Delivery.objects.get(id=delivery_id)
        if delivery.state == State.READY:
            if not _may_load(delivery, clock=clock):
                return None
            taken = move(delivery, Event.START_LOAD, now=clock(), attempts=1)
            return delivery if taken else None
        if delivery.state != State.LOADING:
            return None
        if _is_with_another(delivery_id, running=running, is_read=is_read):
            return None
        if delivery.attempts >= MAX_ATTEMPTS:
            move(delivery, Event.BREAK, now=clock(), reason="the load did not end, three times")
            return None
        resumed = move(delivery, Event.RESUME, now=clock(), attempts=delivery.attempts + 1)
        return delivery if resumed else None


def _is_with_another(delivery_id: UUID, *, running: Job, is_read: bool) -> bool:
    """Tell whether the other of the two jobs that may load this delivery is at it.

    A check's job goes on to load what it has read, and the load's own job comes at the same
    time: whoever is second must not take the first for dead and read it all again. The
    load's job leaves it to a check's that runs. A check's leaves it only when it has read
    the files just now, so that the two never leave it to each other.
    """
    if running is Job.LOAD:
        return is_running(Job.CHECK, delivery=delivery_id)
    return is_read


def _may_load(delivery: Delivery, *, clock: Clock) -> bool:
    """Tell whether it is this delivery's turn: it is due, and no earlier one is on its way."""
    if delivery.due_at is not None and delivery.due_at > clock():
        return False
    earlier = Delivery.objects.filter(
        state__in=[State.SEALED, State.CHECKING, State.READY, State.LOADING]
    ).exclude(marker="CHECK")
    order = (delivery.sealed_at, delivery.id)
    return not any((other.sealed_at, other.id) < order for other in earlier.exclude(id=delivery.id))


def _load(delivery: Delivery, bundle: CheckedBundle, *, clock: Clock) -> None:
    lock_roster(delivery.district_id)
    delivery.refresh_from_db()
    if delivery.state != State.LOADING:
        raise _Lost
    if _is_older_than_roster(delivery, bundle):
        move(
            delivery,
            Event.HOLD,
            now=clock(),
            reason="older-than-roster",
            hold_reasons=["older-than-roster"],
        )
        return
    connection = roster_connection()
    counts = {}
    students = None
    for checked in load_order(bundle):
        comparison = compare(connection, checked, students=students)
        students = checked if students is None else students
        counts[checked.table.name] = apply(connection, comparison, delivery=delivery.id).as_json()
    if not move(delivery, Event.LOAD, now=clock(), counts=counts, attempts=0):
        raise _Lost


def _is_older_than_roster(delivery: Delivery, bundle: CheckedBundle) -> bool:
    """Tell whether a delivery sealed later has already loaded one of these tables."""
    order = (delivery.sealed_at, delivery.id)
    later = Delivery.objects.filter(state=State.LOADED, sealed_at__gte=delivery.sealed_at)
    return any(
        (other.sealed_at, other.id) > order and bundle.tables.keys() & other.counts.keys()
        for other in later
    )


def wake_next(district: UUID, *, clock: Clock) -> None:
    """Defer the load of the oldest delivery that is due; its own job may have come too early.

    A load whose job finds an earlier delivery still on its way returns and is gone; whoever
    ends that earlier one calls this.
    """
    with in_district(district):
        due = (
            Delivery.objects.filter(state=State.READY, due_at__lte=clock())
            .order_by("sealed_at", "id")
            .first()
        )
        if due is not None and _may_load(due, clock=clock):
            defer(Job.LOAD, district=district, delivery=due.id)
