# SPDX-License-Identifier: Apache-2.0
"""A district's roster, and nights of CSV files that are loaded into it."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

from django.db import connection

from fix_district import moment
from nightdrop.core.delivery.machine import State
from nightdrop.core.formats.generic import GENERIC
from nightdrop.db.access import in_district, roster_connection
from nightdrop.db.models import Delivery
from nightdrop.intake.check import check_files
from nightdrop.intake.checked import CheckedBundle, SourceFile, Verdict
from nightdrop.intake.export import export_rows
from nightdrop.intake.load import Comparison, TableCounts, apply, compare, load_order
from nightdrop.services.checks import known_students

Row = Mapping[str, str]
TODAY = date(2026, 9, 1)

_STUDENT = {
    "Last Name": "Sawyer",
    "First Name": "Ada",
    "Date of Birth": "2015-03-04",
    "Gender": "F",
    "District Enrollment": "ENROLLED",
    "Building": "North Elementary",
    "Building Reporting Id": "001",
}


def student(student_id: str, **cells: str) -> Row:
    """Make a student; cells are named as headings with `_` for blanks."""
    return {"Student Id": student_id, **_STUDENT, **_headed(cells)}


def guardian(student_id: str, first_name: str, **cells: str) -> Row:
    """Make a guardian of the student, of the family Sawyer."""
    names = {"Student Id": student_id, "Last Name": "Sawyer", "First Name": first_name}
    return {**names, **_headed(cells)}


@dataclass(frozen=True, slots=True)
class Night:
    """A load that has been made."""

    delivery: UUID
    comparisons: Mapping[str, Comparison]
    counts: Mapping[str, TableCounts]


@dataclass(frozen=True, slots=True)
class Roster:
    """The roster of one district."""

    district: UUID
    directory: Path

    def load(
        self, students: Sequence[Row] | str, guardians: Sequence[Row] | str | None = None
    ) -> Night:
        """Check and load files of these rows (or of this text), in one transaction."""
        delivery = uuid4()
        with self.checked(students, guardians) as bundle, in_district(self.district):
            assert bundle.verdict in {Verdict.CLEAN, Verdict.FAULTY}, bundle.findings.findings
            self._make_delivery(delivery)
            comparisons, counts = {}, {}
            for checked in load_order(bundle):
                compared = compare(roster_connection(), checked, students=bundle.tables["students"])
                comparisons[checked.table.name] = compared
                counts[checked.table.name] = apply(roster_connection(), compared, delivery=delivery)
        return Night(delivery, comparisons, counts)

    def checked(
        self, students: Sequence[Row] | str, guardians: Sequence[Row] | str | None = None
    ) -> CheckedBundle:
        """Check files of these rows (or of this text)."""
        files = []
        for name, rows in {"students.csv": students, "guardians.csv": guardians}.items():
            if rows is not None:
                path = self.directory / f"{uuid4()}-{name}"
                text = rows if isinstance(rows, str) else as_csv(rows)
                path.write_text(text, encoding="utf-8", newline="")
                files.append(SourceFile(name, path))
        return check_files(files, format=GENERIC, today=TODAY, roster=self._known)

    def export(self, table: str, *, style: Literal["csv", "jsonl"] = "csv") -> str:
        """Return a table as it is exported."""
        with in_district(self.district):
            blocks = export_rows(roster_connection(), GENERIC.table(table), style=style)
            return b"".join(blocks).decode()

    def rows(self, table: str) -> list[Row]:
        """Return a table's rows, empty cells left out."""
        rows = csv.DictReader(io.StringIO(self.export(table), newline=""))
        return [{name: cell for name, cell in row.items() if cell} for row in rows]

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Run a query as the application's role in this district."""
        with in_district(self.district), connection.cursor() as cursor:
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

    def run(self, statement: str) -> None:
        """Run a statement as the application's role in this district."""
        with in_district(self.district), connection.cursor() as cursor:
            cursor.execute(statement)

    def _known(self, ids: Sequence[str]) -> set[str]:
        return known_students(self.district, ids)

    def _make_delivery(self, delivery: UUID) -> None:
        now = moment()
        Delivery.objects.create(
            id=delivery,
            district_id=self.district,
            epoch="20260901-220000",
            marker="COMPLETE",
            source="sftp",
            sealed_at=now,
            settles_at=now,
            state=State.LOADING,
            state_since=now,
        )


def as_csv(rows: Sequence[Row]) -> str:
    """Write rows as a district would; a row's missing cells are empty."""
    headings = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, headings)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _headed(cells: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", " "): cell for name, cell in cells.items()}
