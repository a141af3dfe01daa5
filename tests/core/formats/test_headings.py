# SPDX-License-Identifier: Apache-2.0
"""Matching a heading row to a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.core.formats.findings import Severity
from nightdrop.core.formats.generic import GENERIC, GUARDIANS, STUDENTS
from nightdrop.core.formats.headings import HeadingMatch, looks_like, match_headings

REQUIRED = [column.heading for column in STUDENTS.columns if column.required]


def match(*cells: str) -> HeadingMatch:
    return match_headings(STUDENTS, cells, file="students.csv")


def supplied(found: HeadingMatch) -> list[str]:
    return [column.name for column in found.columns if column is not None]


def is_blocking(found: HeadingMatch) -> bool:
    return any(finding.severity is Severity.BLOCKING for finding in found.findings)


def codes(found: HeadingMatch) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.column) for finding in found.findings]


def test_exact_headings_in_any_order_give_no_finding() -> None:
    found = match(*reversed(REQUIRED))
    assert found.findings == ()
    wanted = [column.name for column in reversed(STUDENTS.columns) if column.required]
    assert supplied(found) == wanted
    assert not is_blocking(found)


def test_alias_is_silent() -> None:
    found = match(*REQUIRED[:-1], "Building IRN", "Internal SIS Student Id")
    assert found.findings == ()
    assert supplied(found)[-2:] == ["building_reporting_id", "sis_internal_id"]


@pytest.mark.parametrize(
    "written",
    [
        "LAST NAME",
        "last_name",
        "LastName",
        " Last Name ",
        "STUDENTS.Last_Name",
        "[01]Students.LastName",
        "Last\nName",
    ],
)
def test_heading_written_differently_is_read_with_a_remark(written: str) -> None:
    found = match(REQUIRED[0], written, *REQUIRED[2:])
    assert codes(found) == [("heading-repaired", "Last Name")]
    assert "last_name" in supplied(found)


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\u200b", "zero width space (U+200B)"),
        ("\u00a0", "no-break space (U+00A0)"),
        ("\ufeff", "zero width no-break space (U+FEFF)"),
        ("\x00", "control character (U+0000)"),
    ],
)
@pytest.mark.parametrize("form", ["{}Student Id", "Student{}Id", "Student Id{}"])
def test_invisible_character_is_named_and_blocks(character: str, name: str, form: str) -> None:
    found = match(form.format(character), *REQUIRED[1:])
    assert codes(found) == [("invisible-character-in-heading", "Student Id")]
    assert found.findings[0].facts["characters"] == name
    assert is_blocking(found)


def test_missing_columns_are_one_finding_each() -> None:
    found = match("Student Id", "Last Name", "First Name")
    assert codes(found) == [("missing-column", heading) for heading in REQUIRED[3:]]
    assert is_blocking(found)


def test_duplicate_heading_names_the_cells() -> None:
    found = match(*REQUIRED, "Building IRN")
    assert codes(found) == [("duplicate-heading", "Building Reporting Id")]
    assert found.findings[0].facts == {"positions": "8 and 9"}


def test_unknown_and_empty_headings_are_remarks() -> None:
    found = match(*REQUIRED, "Locker", "")
    assert codes(found) == [("unknown-column", "Locker"), ("unknown-column", "(empty)")]
    assert found.columns[-2:] == (None, None)
    assert not is_blocking(found)


def test_row_without_any_heading_is_one_finding() -> None:
    found = match("1001", "Rivera", "Ana")
    assert codes(found) == [("no-headings", None)]


def test_findings_stand_on_the_line_of_the_row() -> None:
    found = match_headings(STUDENTS, ["x"], file="students.csv", line=3)
    assert found.findings[0].line == 3


@given(st.lists(st.text(max_size=20), max_size=8))
def test_any_row_is_matched_cell_by_cell(cells: list[str]) -> None:
    assert len(match(*cells).columns) == len(cells)


def test_students_and_guardians_are_told_apart() -> None:
    students = [column.heading for column in STUDENTS.columns]
    guardians = [column.heading.upper() for column in GUARDIANS.columns]
    assert looks_like(students, formats=[GENERIC]) is STUDENTS
    assert looks_like(guardians, formats=[GENERIC]) is GUARDIANS


@pytest.mark.parametrize(
    "cells", [[], ["Route", "Stop"], ["Student Id"], ["Student Id", "Locker", "Bus", "Lunch"]]
)
def test_other_tables_look_like_nothing(cells: list[str]) -> None:
    assert looks_like(cells, formats=[GENERIC]) is None
