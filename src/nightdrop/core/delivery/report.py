# SPDX-License-Identifier: Apache-2.0
"""What became of a delivery: one value, written for people, for scripts and as a table.

The same report is printed by `nightdrop delivery show` and `nightdrop check` and lies in
the processed epoch as REPORT.txt, report.json and findings.csv. It is the district's
own: it may quote cells of the files, shortened, and goes nowhere else.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from nightdrop.core.delivery.report_shape import CountsJson, FileJson, TransitionJson
from nightdrop.core.delivery.report_text import (
    write_files,
    write_findings,
    write_heading,
    write_roster,
)
from nightdrop.core.formats.findings import CATALOGUE, Finding, GroupJson


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """All that is told about one delivery.

    `id` is None for files that were checked without a server. `source` is how they came:
    sftp, auto, web, pull or api; check for those. `would` says what a dry run would have
    become. `counts` is by table, `findings` by severity.
    """

    id: UUID | None
    epoch: str
    marker: str | None
    state: str
    source: str
    sealed_at: datetime | None
    finished_at: datetime | None
    format: str | None
    files: Sequence[FileJson]
    counts: Mapping[str, CountsJson]
    findings: Mapping[str, int]
    hold_reasons: Sequence[str]
    finding_groups: Sequence[GroupJson]
    transitions: Sequence[TransitionJson]
    would: str | None = None


#: The report's fields as scripts read them, in this order; new ones may be added.
_FIELDS = (
    "id",
    "epoch",
    "marker",
    "state",
    "would",
    "source",
    "sealed_at",
    "finished_at",
    "format",
    "files",
    "counts",
    "findings",
    "hold_reasons",
    "finding_groups",
    "transitions",
)
#: Fields that are left out, rather than null, when there is nothing to say.
_OPTIONAL = frozenset({"id", "would"})

_FINDING_HEADINGS = (
    "File",
    "Line",
    "Column",
    "Severity",
    "Code",
    "Value",
    "What was found",
    "What to do",
)
#: A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_json(report: DeliveryReport) -> dict[str, object]:
    """Return the report as `delivery show --json` and report.json give it.

    Shape: only what JSON has: times are ISO 8601 with their offset, ids are text.
    """
    fields = {name: _plain(getattr(report, name)) for name in _FIELDS}
    return {
        name: value for name, value in fields.items() if not (name in _OPTIONAL and value is None)
    }


def write_report_json(report: DeliveryReport) -> str:
    """Write report.json: one document, for scripts."""
    return json.dumps(as_json(report), ensure_ascii=False, indent=2) + "\n"


def write_report_text(report: DeliveryReport) -> str:
    """Write REPORT.txt, for people: what happened, then counts, then what was found.

    Shape: lines of at most 78 characters, apart from long names; ends in a line break.
    """
    sections = (
        write_heading(
            epoch=report.epoch,
            state=report.state,
            would=report.would,
            source=report.source,
            sealed_at=report.sealed_at,
            hold_reasons=report.hold_reasons,
            faulty=sum(counts["faulty"] for counts in report.counts.values()),
        ),
        write_files(report.files),
        write_roster(report.counts),
        write_findings(report.finding_groups, counts=report.findings),
    )
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def write_findings_csv(findings: Iterable[Finding]) -> str:
    """Write findings.csv: one row per stored finding, for a spreadsheet.

    Shape: begins with a byte order mark, without which spreadsheets misread accents; a
           cell that would be taken for a formula gets a ``'`` in front.
    """
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.writer(out)
    writer.writerow(_FINDING_HEADINGS)
    for finding in findings:
        cells = (
            finding.file,
            "" if finding.line is None else str(finding.line),
            finding.column or "",
            str(finding.severity),
            finding.code,
            finding.facts.get("value", ""),
            finding.message,
            CATALOGUE[finding.code].hint,
        )
        writer.writerow([_defused(cell) for cell in cells])
    return out.getvalue()


def _defused(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
