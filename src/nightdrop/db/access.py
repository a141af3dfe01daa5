# SPDX-License-Identifier: Apache-2.0
"""The one door to a district's rows.

`in_district` opens a transaction that sees one district and no other: row security in
the database holds it, whatever a query says. What has to look across districts (the
operator's commands, the scan) reads through the operator's own role, and only here is
that role's connection named. Who may open which district is decided by the caller.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import psycopg
from django.db import connection, connections, transaction
from django.db.models import QuerySet
from psycopg_pool import ConnectionPool

from nightdrop.core.errors import Refusal
from nightdrop.core.events import EventKind
from nightdrop.db.models import AuditEvent, Delivery, District

#: The database alias of the role that sees all districts.
OPERATOR = "operator"

_district: ContextVar[UUID | None] = ContextVar("district", default=None)


class UnknownDistrict(Refusal):
    """No district has this user name."""

    code: ClassVar[str] = "unknown-district"

    def __init__(self, username: str) -> None:
        super().__init__(username)
        self.username = username


class UnknownDelivery(Refusal):
    """No delivery has this identity."""

    code: ClassVar[str] = "unknown-delivery"

    def __init__(self, delivery: str) -> None:
        super().__init__(delivery)
        self.delivery = delivery


@contextmanager
def in_district(district: UUID) -> Iterator[None]:
    """Open a transaction (or a savepoint in one) that sees only this district's rows.

    Querysets are lazy: take lists out of the block, for outside it they see nothing.
    """
    nested = connection.in_atomic_block
    before = _district.get() if nested else None
    token = _district.set(district)
    try:
        with transaction.atomic():
            _tell_database(district)
            yield
            if nested:
                # A rollback takes SET LOCAL back by itself; a success does not.
                _tell_database(before)
    finally:
        _district.reset(token)


def lock_roster(district: UUID) -> District:
    """Take the district's row lock, which loads of its roster take in turn.

    Call it inside `in_district`; the lock lasts until that transaction ends, which for a
    large load is seconds. It does not keep anybody from recording new deliveries.
    """
    return District.objects.select_for_update(no_key=True).get(id=district)


def lock_queue(district: UUID) -> None:
    """Take the lock under which a district's ordered jobs are deferred.

    A job's place in the queue is given when it is deferred and not at COMMIT; two
    transactions that overlap would otherwise put jobs in another order than they became
    visible in. Only short transactions take it, and never after `lock_roster`.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"queue:{district}"]
        )


def roster_connection() -> psycopg.Connection[tuple[object, ...]]:
    """Return psycopg's connection of the present `in_district` transaction, for COPY."""
    connection.ensure_connection()
    raw = connection.connection
    # With a pool the wrapper hands out a plain connection; without one it is the same.
    assert isinstance(raw, psycopg.Connection)  # noqa: S101 - tells mypy what Django holds
    return raw


def find_district(username: str) -> District:
    """Return the district with this user name, compared in lower case.

    Raises:  UnknownDistrict.
    """
    name = username.strip().lower()
    found = District.objects.using(OPERATOR).filter(username=name).first()
    if found is None:
        raise UnknownDistrict(name)
    return found


def all_districts() -> list[District]:
    """Return every district, by user name."""
    return list(District.objects.using(OPERATOR).order_by("username"))


def find_delivery(delivery: str) -> Delivery:
    """Return the delivery with this identity, whichever district's it is.

    Raises:  UnknownDelivery, also for what is no UUID.
    """
    try:
        identity = UUID(delivery)
    except ValueError:
        raise UnknownDelivery(delivery) from None
    found = Delivery.objects.using(OPERATOR).filter(id=identity).first()
    if found is None:
        raise UnknownDelivery(delivery)
    return found


def known_deliveries(ids: list[UUID]) -> set[UUID]:
    """Tell which of these seals the database knows, in any district."""
    return set(Delivery.objects.using(OPERATOR).filter(id__in=ids).values_list("id", flat=True))


def unfinished_deliveries() -> list[Delivery]:
    """Return every delivery that has not come to rest, oldest first."""
    return list(
        Delivery.objects.using(OPERATOR)
        .filter(finished_at__isnull=True)
        .order_by("sealed_at", "id")
    )


def audit_events(kind: EventKind, *, since: datetime) -> QuerySet[AuditEvent]:
    """Return the events of a kind in all districts, for the caller to narrow down."""
    return AuditEvent.objects.using(OPERATOR).filter(
        kind=kind, at__gte=since, district_id__isnull=False
    )


def close_connections() -> None:
    """Give back the connections of this thread; the next query takes a new one."""
    connections.close_all()


def drop_connections() -> None:
    """Give back the connections of this thread and replace all that their pools keep.

    To be called when the database was away. A pool tries each connection that it has kept
    and rests for a second after each that is dead: with some of them it gives out none for
    longer than anybody waits.
    """
    for each in connections.all(initialized_only=True):
        each.close()
        pool = getattr(each, "pool", None)
        if isinstance(pool, ConnectionPool):
            pool.drain()


def _tell_database(district: UUID | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('nightdrop.district', %s, true)",
            [str(district) if district else ""],
        )
