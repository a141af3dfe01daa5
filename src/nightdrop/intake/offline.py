# SPDX-License-Identifier: Apache-2.0
"""The check of files that have not been sent: no server, no database, no roster."""

from datetime import date

from nightdrop.core.delivery.machine import State
from nightdrop.core.delivery.report import DeliveryReport
from nightdrop.core.delivery.report_shape import CountsJson, FileJson
from nightdrop.core.epochs import is_epoch_name, read_epoch_name
from nightdrop.core.formats.generic import GENERIC
from nightdrop.intake.check import check_files
from nightdrop.intake.checked import CheckedBundle, SourceFile, Verdict
from nightdrop.intake.gather import Gathered

#: What a delivery would become with these files, as far as can be told without a roster.
_WOULD = {
    Verdict.CLEAN: State.LOADED,
    Verdict.FAULTY: State.LOADED,
    Verdict.BLOCKED: State.REJECTED,
    Verdict.UNRECOGNISED: State.UNRECOGNISED,
}


def check_offline(gathered: Gathered, *, today: date) -> DeliveryReport:
    """Check files as a delivery's would be.

    Every guardian's student must be in students.csv here, because there is no roster to
    look into.

    Returns: a report without an id, in the state `checked`; `would` says what a delivery
             would become.
    """
    sources = [SourceFile(file.name, file.path) for file in gathered.files]
    with check_files(sources, format=GENERIC, today=today, roster=None) as bundle:
        if is_epoch_name(gathered.title) and read_epoch_name(gathered.title).at is None:
            bundle.findings.add("epoch-name-no-time")
        return _report(gathered, bundle)


def _report(gathered: Gathered, bundle: CheckedBundle) -> DeliveryReport:
    return DeliveryReport(
        id=None,
        epoch=gathered.title,
        marker=gathered.marker,
        state=State.CHECKED,
        would=_WOULD[bundle.verdict],
        source="check",
        sealed_at=None,
        finished_at=None,
        format=GENERIC.name if bundle.tables else None,
        files=[
            FileJson(name=file.name, size_bytes=file.size_bytes, sha256=file.sha256, rows=file.rows)
            for file in bundle.files
        ],
        counts={
            name: CountsJson(
                added=None, updated=None, deleted=None, unchanged=None, faulty=checked.faulty
            )
            for name, checked in bundle.tables.items()
        },
        findings=bundle.findings.counts(),
        hold_reasons=(),
        finding_groups=[group.as_json() for group in bundle.findings.groups()],
        transitions=(),
    )
