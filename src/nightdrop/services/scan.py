# SPDX-License-Identifier: Apache-2.0
"""The scan: the file tree is the truth about uploads, and this reads it.

It seals every epoch that has its marker and that nobody is writing to (a crash came in
between), makes known every seal that the database does not know (a NOTIFY, a journal or
a process was lost), puts back on the queue what no job is working on, and corrects the counts
of what districts use.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final
from uuid import UUID, uuid4

import structlog

from nightdrop.core.delivery.machine import State
from nightdrop.core.errors import Refusal
from nightdrop.db.access import (
    all_districts,
    in_district,
    known_deliveries,
    unfinished_deliveries,
)
from nightdrop.db.models import Delivery
from nightdrop.services.checks import Clock
from nightdrop.services.deliveries import record_seal
from nightdrop.services.queue import Job, defer, queued_deliveries
from nightdrop.storage.seal import (
    SealedBy,
    SealRecord,
    marked_epochs,
    marked_others,
    sealed_records,
    try_seal,
)
from nightdrop.storage.tree import Tree
from nightdrop.storage.usage import count_anew, look_at_count

log = structlog.get_logger()

#: How old a count of what a district uses may become before it is made anew.
COUNTED_SECONDS: Final = 3600.0
#: So many scans make all counts anew, if each is due.
_SCANS_A_ROUND: Final = 50

#: The job that a delivery in this state, and not finished, must have on the queue.
JOB_OF: dict[State, Job] = {
    State.SEALED: Job.CHECK,
    State.CHECKING: Job.CHECK,
    State.READY: Job.LOAD,
    State.LOADING: Job.LOAD,
}


def scan_tree(*, tree: Tree, clock: Clock, quiet_seconds: float, settle_seconds: float) -> int:
    """Find what nobody reported. Returns how many deliveries became known by it.

    Directories of a district that the database does not know are left alone. A district
    whose files cannot be read does not keep the others from being scanned.
    """
    found = 0
    scanned: list[UUID] = []
    districts = {district.id for district in all_districts()}
    for district in tree.district_ids():
        if district not in districts:
            continue
        try:
            records = [*_seal_left_behind(tree, district, quiet_seconds=quiet_seconds)]
            records += sealed_records(tree.district(district))
        except (OSError, Refusal, UnicodeError) as fault:
            log.warning("district-not-scanned", district=str(district), fault=type(fault).__name__)
            continue
        scanned.append(district)
        known = known_deliveries([record.id for record in records])
        for record in sorted(records, key=lambda record: (record.sealed_at, record.id)):
            if record.id not in known:
                found += _record(record, settle_seconds=settle_seconds)
    _requeue_stranded(clock=clock)
    _count_anew(tree, scanned)
    return found


def _count_anew(tree: Tree, districts: list[UUID]) -> None:
    """Correct what is counted against quotas, each district's once an hour.

    A scan does a part of them, those whose count is oldest: so they come to be spread out.
    """
    ages: list[tuple[int, UUID]] = []
    for district in districts:
        with suppress(OSError, Refusal):
            ages.append((look_at_count(tree.district(district).place).counted_ns, district))
    left = len(ages) // _SCANS_A_ROUND + 1
    for _, district in sorted(ages):
        place = tree.district(district).place
        try:
            is_new = count_anew(place, older_than_seconds=COUNTED_SECONDS)
        except (OSError, Refusal) as fault:
            log.warning("usage-not-counted", district=str(district), fault=type(fault).__name__)
            continue
        left -= 1
        if not left or not is_new:
            return


def _record(record: SealRecord, *, settle_seconds: float) -> bool:
    try:
        return record_seal(record, settle_seconds=settle_seconds)
    except UnicodeError:
        # Put there by hand, with a name that is no UTF-8; it must not end the scan for all.
        log.warning("seal-not-recorded", district=str(record.district), delivery=str(record.id))
        return False


def _seal_left_behind(tree: Tree, district: UUID, *, quiet_seconds: float) -> Iterator[SealRecord]:
    place = tree.district(district)
    for epoch in marked_epochs(place):
        outcome = try_seal(
            place,
            epoch,
            seal_id=uuid4(),
            quiet_seconds=quiet_seconds,
            # Whoever wrote the marker may still be there, and set times on what it sent.
            sealed_by=SealedBy(source="sftp", session=None, fingerprint=None, session_open=True),
        )
        if isinstance(outcome, SealRecord):
            yield outcome


def find_misnamed(tree: Tree, district: UUID) -> list[str]:
    """Return the directories of a district that have a marker and whose name is no epoch.

    Their sender believes them delivered; nothing will ever be loaded from them as they are.
    """
    return sorted(marked_others(tree.district(district)))


def _requeue_stranded(*, clock: Clock) -> None:
    """Give every unfinished delivery the job that it should have and has lost."""
    unfinished = unfinished_deliveries()
    # Asked after the former: a job that ends in between is then given once too often, and
    # finds nothing to do; the other way round one could be missed.
    queued = queued_deliveries()
    for delivery in unfinished:
        if delivery.id in queued or _is_waiting_for_its_night(delivery, clock=clock):
            continue
        job = JOB_OF.get(State(delivery.state), Job.FINISH)
        with in_district(delivery.district_id):
            defer(job, district=delivery.district_id, delivery=delivery.id)


def _is_waiting_for_its_night(delivery: Delivery, *, clock: Clock) -> bool:
    is_ready = delivery.state == State.READY
    return is_ready and delivery.due_at is not None and delivery.due_at > clock()
