# SPDX-License-Identifier: Apache-2.0
"""Ending a delivery: its epoch moves away with its reports, or rests where it is."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from nightdrop.core.delivery.machine import MOVES_AWAY, RESTS_IN_PLACE, State
from nightdrop.core.delivery.report import (
    write_findings_csv,
    write_report_json,
    write_report_text,
)
from nightdrop.core.formats.findings import Finding, Severity
from nightdrop.db.access import in_district
from nightdrop.db.models import Delivery, StoredFinding
from nightdrop.services.checks import Clock
from nightdrop.services.queue import Job, defer
from nightdrop.services.reports import report_delivery
from nightdrop.storage.processed import move_to_processed
from nightdrop.storage.seal import read_record
from nightdrop.storage.tree import Tree


def finish_delivery(*, district: UUID, delivery_id: UUID, tree: Tree, clock: Clock) -> bool:
    """End a delivery that has come to rest. Returns whether it is finished when this ends.

    1. Wait for the session that sealed it, by a job of its own, unless it has settled.
    2. Write the reports into the epoch and move it, under the epoch's lock; a move that
       was interrupted is taken up where it stopped.
    3. Keep where it went, and set `finished_at`, for which scripts wait, unless the delivery
       moved on meanwhile.
    """
    with in_district(district):
        delivery = Delivery.objects.get(id=delivery_id)
        if delivery.finished_at is not None:
            return True
        state = State(delivery.state)
        if state in RESTS_IN_PLACE:
            return _mark_finished(delivery, now=clock())
        if state not in MOVES_AWAY:
            return False
        if delivery.settles_at > clock():
            defer(
                Job.FINISH,
                district=district,
                delivery=delivery_id,
                not_before=delivery.settles_at,
            )
            return False
    if delivery.processed_name is None:
        delivery.processed_name = _move_away(delivery, tree=tree)
    with in_district(district):
        Delivery.objects.filter(id=delivery.id).update(processed_name=delivery.processed_name)
        return _mark_finished(delivery, now=clock())


def _move_away(delivery: Delivery, *, tree: Tree) -> str:
    district = tree.district(delivery.district_id)
    record = read_record(district, delivery.epoch)
    return move_to_processed(district, delivery.id, record, reports=write_reports(delivery))


def write_reports(delivery: Delivery) -> Mapping[str, bytes]:
    """Write the three reports that go with an epoch: file name -> content."""
    with in_district(delivery.district_id):
        findings = [
            Finding(
                code=row.code,
                severity=Severity(row.severity),
                file=row.file,
                line=row.line,
                column=row.column,
                facts=row.facts,
            )
            for row in StoredFinding.objects.filter(delivery_id=delivery.id).order_by("id")
        ]
    report = report_delivery(delivery)
    return {
        "REPORT.txt": write_report_text(report).encode(),
        "report.json": write_report_json(report).encode(),
        "findings.csv": write_findings_csv(findings).encode(),
    }


def _mark_finished(delivery: Delivery, *, now: datetime) -> bool:
    unchanged = Delivery.objects.filter(
        id=delivery.id, state=delivery.state, state_since=delivery.state_since
    )
    return bool(unchanged.update(finished_at=now))
