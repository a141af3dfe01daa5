# SPDX-License-Identifier: Apache-2.0
"""The roster as files."""

import json

from fix_roster import Roster, guardian, student
from nightdrop.core.formats.generic import GUARDIANS, STUDENTS
from nightdrop.db.access import in_district, roster_connection
from nightdrop.db.models import District
from nightdrop.intake.export import export_rows

HEADINGS = ",".join(column.heading for column in STUDENTS.columns)


def test_a_table_has_the_formats_headings_and_canonical_values(roster: Roster) -> None:
    roster.load([student("1", Date_of_Birth="03/04/2015", Gender="female", Address='1 "B", x')])
    assert roster.export("students").splitlines() == [
        HEADINGS,
        '1,Sawyer,Ada,,2015-03-04,F,ENROLLED,,"1 ""B"", x",,,,,,,,,North Elementary,001,,',
    ]


def test_an_empty_table_is_a_line_of_headings(roster: Roster) -> None:
    assert roster.export("students") == HEADINGS + "\n"
    assert roster.export("guardians", style="jsonl") == ""


def test_rows_are_ordered_byte_by_byte(roster: Roster) -> None:
    ids = ["b", "B", "10", "9", "a1", "A1"]
    roster.load([student(one) for one in ids])
    assert [row["Student Id"] for row in roster.rows("students")] == sorted(ids)


def test_guardians_of_a_student_are_ordered_by_their_key(roster: Roster) -> None:
    roster.load(
        [student("1")],
        [guardian("1", "Zoe", Guardian_Id="G2"), guardian("1", "Ada"), guardian("1", "Émile")],
    )
    assert [row["First Name"] for row in roster.rows("guardians")] == ["Zoe", "Ada", "Émile"]


def test_jsonl_has_an_object_a_line(roster: Roster) -> None:
    address = 'back\\slash, "quote"\nsecond line\ttab'
    roster.load([student("1", Address=address)], [guardian("1", "Zoë")])
    (line,) = roster.export("students", style="jsonl").splitlines()
    found = json.loads(line)
    assert list(found) == [column.heading for column in STUDENTS.columns]
    assert (found["Address"], found["Grade"]) == (address, None)
    (line,) = roster.export("guardians", style="jsonl").splitlines()
    assert list(json.loads(line)) == [column.heading for column in GUARDIANS.columns]


def test_dates_are_iso_whatever_the_session_prefers(roster: Roster) -> None:
    roster.load([student("1")])
    with in_district(roster.district):
        roster_connection().execute("SET LOCAL datestyle = 'German'")
        found = b"".join(export_rows(roster_connection(), STUDENTS, style="csv"))
    assert b",2015-03-04," in found


def test_an_export_has_one_districts_rows(roster: Roster, birch: District) -> None:
    roster.load([student("1")])
    assert Roster(birch.id, roster.directory).rows("students") == []


def test_what_is_exported_can_be_delivered_and_changes_nothing(roster: Roster) -> None:
    roster.load(
        [student("1", Address="two\nlines", Grade="3"), student("2")],
        [guardian("1", "Eve", Guardian_Id="7", Cell_Phone="(413) 555-0199"), guardian("2", "Max")],
    )
    night = roster.load(roster.export("students"), roster.export("guardians"))
    assert [counts.unchanged for counts in night.counts.values()] == [2, 2]
