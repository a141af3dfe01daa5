# SPDX-License-Identifier: Apache-2.0
"""The main job: 1,200 students by `sftp`, value by value, and the night after."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from acceptance.district import NEXT_EPOCH, REPORTS, District, Night
from acceptance.running import Nightdrop
from nightdrop.core.formats.generic import GENERIC
from nightdrop.core.formats.values import canonical
from nightdrop.core.paths import Zone

STUDENTS = 1200
Row = Mapping[str, str]

#: What exporters and importers get wrong: each of these must come back as it was sent.
AWKWARD = (
    {"Student Id": "0000000001", "Last Name": "O'Brien, Jr.", "First Name": 'Mary "Mae"'},
    {"Student Id": "A1", "Last Name": "Núñez-Ōta", "First Name": "Zoë", "City": "Łódź 東京 😀"},
    {"Student Id": "00A", "Address": "12 Main St\nApt 3", "Zip": "01002", "Grade": "03"},
    {"Student Id": "2E5", "Last Name": "=SUM(A1)", "First Name": "null", "Middle Name": "NULL"},
    {"Student Id": "TRUE", "Race": "\\N", "State": "\\."},
)


def read(source: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(source, newline="")))


def write(file: Path, rows: Sequence[Row]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_file(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


def normal(table: str, rows: Sequence[Row]) -> list[dict[str, str]]:
    """Bring rows to the format's normal form, cell by cell, by the rules themselves."""
    today = datetime.now(UTC).date()
    columns = GENERIC.table(table).columns
    return [
        {
            column.heading: str(canonical(column, row.get(column.heading, ""), today=today))
            for column in columns
        }
        for row in rows
    ]


def by_key(table: str, rows: Sequence[Row]) -> list[tuple[str, ...]]:
    key = [GENERIC.table(table).column(name).heading for name in GENERIC.table(table).key]
    ordered = sorted(rows, key=lambda row: [row[heading] for heading in key])
    return [tuple(row.values()) for row in ordered]


@pytest.fixture
def night(nightdrop: Nightdrop, tmp_path: Path) -> Path:
    nightdrop.console.run("sample", "--students", str(STUDENTS), str(tmp_path))
    students = read_file(tmp_path / "students.csv")
    students[: len(AWKWARD)] = [
        {**row, **change} for row, change in zip(students, AWKWARD, strict=False)
    ]
    write(tmp_path / "students.csv", students)
    ids = {row["Student Id"] for row in students}
    guardians = read_file(tmp_path / "guardians.csv")
    write(tmp_path / "guardians.csv", [row for row in guardians if row["Student Id"] in ids])
    (tmp_path / "COMPLETE").touch()
    return tmp_path


def test_a_night_arrives_value_by_value(apple: District, night: Path) -> None:
    apple.send(*Night(night, {}, {}).commands())
    delivery = apple.wait_until_finished()
    assert delivery["state"] == "loaded", delivery
    assert sum(delivery["findings"].values()) == 0
    for table, file in (("students", "students.csv"), ("guardians", "guardians.csv")):
        sent = read_file(night / file)
        assert delivery["counts"][table]["added"] == len(sent)
        exported = read(apple.export()[table])
        assert list(exported[0]) == [column.heading for column in GENERIC.table(table).columns]
        assert by_key(table, exported) == by_key(table, normal(table, sent))
    assert apple.names(Zone.UPLOAD) == set()
    (processed,) = apple.names(Zone.PROCESSED)
    sent_names = {"students.csv", "guardians.csv", "COMPLETE"}
    assert apple.names(Zone.PROCESSED, processed) == sent_names | REPORTS


def test_a_second_night_says_five_one_none(apple: District, night: Path, tmp_path: Path) -> None:
    """5 new, 1 changed and 10 missing students are 5 added, 1 updated, 0 deleted."""
    apple.send(*Night(night, {}, {}).commands())
    apple.wait_until_finished()
    students = read_file(night / "students.csv")
    kept = [dict(row) for row in students[10:]]
    kept[0]["Building"] = "Another School"
    kept += [{**students[20], "Student Id": f"00NEW{number}"} for number in range(5)]
    write(night / "students.csv", kept)
    ids = {row["Student Id"] for row in kept}
    guardians = read_file(night / "guardians.csv")
    write(night / "guardians.csv", [row for row in guardians if row["Student Id"] in ids])

    apple.send(*Night(night, {}, {}).commands(NEXT_EPOCH))
    delivery = apple.wait_until_finished(NEXT_EPOCH)

    counts = delivery["counts"]["students"]
    assert (counts["added"], counts["updated"], counts["deleted"]) == (5, 1, 0)
    assert counts["unchanged"] == STUDENTS - 10 - 1
    assert delivery["counts"]["guardians"]["deleted"] == 0
    exported = read(apple.export()["students"])
    expected = [*students[:10], *kept]
    assert by_key("students", exported) == by_key("students", normal("students", expected))
