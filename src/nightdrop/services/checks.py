# SPDX-License-Identifier: Apache-2.0
"""Checking a delivery: read its files, keep what was found, decide what follows."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection

from nightdrop.core.delivery.machine import Event, State
from nightdrop.core.delivery.schedule import next_night
from nightdrop.core.epochs import Marker, read_epoch_name
from nightdrop.core.formats.findings import FindingLog
from nightdrop.core.formats.generic import GENERIC
from nightdrop.db.access import in_district
from nightdrop.db.models import Delivery, District, StoredFinding
from nightdrop.intake.check import check_files
from nightdrop.intake.checked import CheckedBundle, SourceFile, Verdict
from nightdrop.services.deliveries import move
from nightdrop.services.places import epoch_directory
from nightdrop.storage.tree import Tree

Clock = Callable[[], datetime]

#: A step that was begun this often and never ended is a fault of ours.
MAX_ATTEMPTS = 3

#: What a dry run says would have become of the delivery.
WOULD = {
    Verdict.CLEAN: State.LOADED,
    Verdict.FAULTY: State.LOADED,
    Verdict.BLOCKED: State.REJECTED,
    Verdict.UNRECOGNISED: State.UNRECOGNISED,
}


def check_delivery(
    *, district: UUID, delivery_id: UUID, tree: Tree, clock: Clock, scratch: ExitStack
) -> CheckedBundle | None:
    """Check a sealed delivery. Returns what was read when it is `ready`, else None.

    1. Take the step, or take it up again after a worker died in it; after
       `MAX_ATTEMPTS` the delivery is `failed`.
    2. Read and check the files, outside of any transaction.
    3. In one transaction keep the findings and move on. A worker that was declared dead
       and is not loses here, by compare-and-set.
    The files read stay open until `scratch` is closed, so that a load can follow at once.
    """
    delivery = _take_step(district, delivery_id, clock=clock)
    if delivery is None:
        return None
    bundle = scratch.enter_context(read_delivery(delivery, tree=tree, now=clock()))
    with in_district(district):
        event, fields = _decide(delivery, bundle, now=clock())
        if not move(delivery, event, now=clock(), attempts=0, **fields):
            return None
        _keep_findings(delivery, bundle.findings)
    return bundle if event is Event.PASS else None


def read_delivery(delivery: Delivery, *, tree: Tree, now: datetime) -> CheckedBundle:
    """Read and check a delivery's files where they lie. The caller closes the bundle."""
    place = epoch_directory(delivery, tree=tree)
    with in_district(delivery.district_id):
        zone = ZoneInfo(District.objects.get(id=delivery.district_id).time_zone)
    district = delivery.district_id
    bundle = check_files(
        [SourceFile(name=file["name"], path=place / file["name"]) for file in delivery.files],
        format=GENERIC,
        today=now.astimezone(zone).date(),
        roster=lambda ids: known_students(district, ids),
    )
    _report_epoch(delivery, bundle.findings)
    return bundle


def known_students(district: UUID, ids: Sequence[str]) -> set[str]:
    """Tell which of these student ids are in the district's roster."""
    with in_district(district), connection.cursor() as cursor:
        cursor.execute("SELECT student_id FROM student WHERE student_id = ANY(%s)", [list(ids)])
        return {row[0] for row in cursor.fetchall()}


def _take_step(district: UUID, delivery_id: UUID, *, clock: Clock) -> Delivery | None:
    with in_district(district):
        delivery = Delivery.objects.get(id=delivery_id)
        if delivery.state == State.SEALED:
            taken = move(delivery, Event.START_CHECK, now=clock(), attempts=1)
            return delivery if taken else None
        if delivery.state != State.CHECKING:
            return None
        if delivery.attempts >= MAX_ATTEMPTS:
            move(delivery, Event.BREAK, now=clock(), reason="the check did not end, three times")
            return None
        resumed = move(delivery, Event.RESUME, now=clock(), attempts=delivery.attempts + 1)
        return delivery if resumed else None


def _report_epoch(delivery: Delivery, findings: FindingLog) -> None:
    """Add what the epoch itself gives rise to, beside its files."""
    for name in delivery.late_files:
        findings.add("marker-not-last", file=name)
    if read_epoch_name(delivery.epoch).at is None:
        findings.add("epoch-name-no-time", file=delivery.epoch)


def _decide(
    delivery: Delivery, bundle: CheckedBundle, *, now: datetime
) -> tuple[Event, dict[str, Any]]:
    fields: dict[str, Any] = {
        "format": GENERIC.name if bundle.tables else None,
        "files": [
            {
                "name": file.name,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "rows": file.rows,
            }
            for file in bundle.files
        ],
        "finding_counts": bundle.findings.counts(),
        "finding_groups": [group.as_json() for group in bundle.findings.groups()],
    }
    if delivery.marker == Marker.CHECK:
        return Event.END_DRY_RUN, fields | {"would": WOULD[bundle.verdict]}
    match bundle.verdict:
        case Verdict.UNRECOGNISED:
            return Event.FIND_NOTHING_KNOWN, fields
        case Verdict.BLOCKED:
            return Event.BLOCK, fields
        case _:
            return Event.PASS, fields | {"due_at": _due(delivery, now=now)}


def _due(delivery: Delivery, *, now: datetime) -> datetime:
    """Return when the delivery may be loaded: now, or the district's next night."""
    district = District.objects.get(id=delivery.district_id)
    if district.mode == District.Mode.NIGHTLY and district.nightly_at is not None:
        return next_night(now, zone=ZoneInfo(district.time_zone), at=district.nightly_at)
    return now


def _keep_findings(delivery: Delivery, findings: FindingLog) -> None:
    StoredFinding.objects.filter(delivery_id=delivery.id).delete()
    StoredFinding.objects.bulk_create(
        (
            StoredFinding(
                district_id=delivery.district_id,
                delivery_id=delivery.id,
                code=finding.code,
                severity=finding.severity,
                file=finding.file,
                line=finding.line,
                column=finding.column,
                facts=dict(finding.facts),
            )
            for finding in findings.findings
        ),
        batch_size=1000,
    )
