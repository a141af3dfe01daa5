# SPDX-License-Identifier: Apache-2.0
"""A delivery as scripts and people read it: one shape for the command line and the report."""

from nightdrop.core.delivery.report import DeliveryReport
from nightdrop.db.models import Delivery
from nightdrop.services.deliveries import list_transitions


def report_delivery(delivery: Delivery) -> DeliveryReport:
    """Gather what `delivery show --json` and the reports in the epoch say."""
    return DeliveryReport(
        id=delivery.id,
        epoch=delivery.epoch,
        marker=delivery.marker,
        state=delivery.state,
        would=delivery.would,
        source=delivery.source,
        sealed_at=delivery.sealed_at,
        finished_at=delivery.finished_at,
        format=delivery.format,
        files=delivery.files,
        counts=delivery.counts,
        findings=delivery.finding_counts,
        hold_reasons=delivery.hold_reasons,
        finding_groups=delivery.finding_groups,
        transitions=[
            {
                "before": move.before,
                "event": move.event,
                "after": move.after,
                "at": move.at,
                "reason": move.reason,
            }
            for move in list_transitions(delivery.district_id, delivery.id)
        ],
    )


def summarise_delivery(delivery: Delivery) -> dict[str, object]:
    """Gather what `delivery list --json` says of each delivery."""
    return {
        "id": delivery.id,
        "epoch": delivery.epoch,
        "state": delivery.state,
        "source": delivery.source,
        "sealed_at": delivery.sealed_at,
        "finished_at": delivery.finished_at,
        "format": delivery.format,
        "files": delivery.files,
        "counts": delivery.counts,
        "findings": delivery.finding_counts,
        "hold_reasons": delivery.hold_reasons,
    }
