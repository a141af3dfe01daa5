# SPDX-License-Identifier: Apache-2.0
"""What people, scripts and spreadsheets are told about a delivery."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.core.delivery.machine import State
from nightdrop.core.delivery.report import (
    DeliveryReport,
    as_json,
    write_findings_csv,
    write_report_json,
    write_report_text,
)
from nightdrop.core.delivery.report_shape import CountsJson, FileJson, TransitionJson
from nightdrop.core.formats.findings import Finding, FindingLog

SEALED = datetime(2026, 9, 1, 2, 0, 5, tzinfo=UTC)
LOADED = DeliveryReport(
    id=UUID(int=7),
    epoch="20260901-020000",
    marker="COMPLETE",
    state=State.LOADED,
    source="sftp",
    sealed_at=SEALED,
    finished_at=None,
    format="generic",
    files=[
        FileJson(name="students.csv", size_bytes=245113, sha256="ab", rows=1200),
        FileJson(name="plan.pdf", size_bytes=9, sha256="cd", rows=None),
    ],
    counts={"students": CountsJson(added=12, updated=3, deleted=0, unchanged=1182, faulty=3)},
    findings={"blocking": 0, "error": 0, "remark": 0},
    hold_reasons=(),
    finding_groups=(),
    transitions=[TransitionJson(before="", event="seal", after="sealed", at=SEALED, reason="")],
)


def with_findings(report: DeliveryReport, log: FindingLog) -> DeliveryReport:
    groups = [group.as_json() for group in log.groups()]
    return replace(report, findings=log.counts(), finding_groups=groups)


def some_findings() -> FindingLog:
    log = FindingLog()
    log.add("missing-column", file="students.csv", line=1, column="Gender")
    log.add("missing-column", file="students.csv", line=1, column="Building")
    log.add_many(
        "bad-date",
        file="students.csv",
        column="Date of Birth",
        lines=range(2, 14),
        values=["1/2/2010"] * 12,
    )
    return log


def test_text_of_a_good_night() -> None:
    assert (
        write_report_text(LOADED)
        == """\
Nightdrop report on 20260901-020000
Came by SFTP, complete at 2026-09-01 02:00:05 UTC.

The files were loaded. 3 faulty rows were left out.

Files
-----
  students.csv  1,200 rows  245,113 bytes
  plan.pdf        not read        9 bytes

Roster
------
            added  changed  deleted  as before  left out
  students     12        3        0      1,182         3

Nothing was found that needs your attention.
"""
    )


def test_text_groups_by_cause_and_gives_advice_once() -> None:
    text = write_report_text(with_findings(LOADED, some_findings()))
    told = text[text.index("What stops") :]
    assert (
        told
        == """\
What stops the delivery
-----------------------
students.csv
  * The column "Gender" is missing; every file must have it.
  * The column "Building" is missing; every file must have it.
    What to do: Add the column to the export, with exactly this heading.

Faulty rows, which are left out
-------------------------------
students.csv
  * 12 times: "Date of Birth" is not a date that Nightdrop can read, or no day
    of the calendar.
    Lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more. For example: 1/2/2010
    What to do: Write dates as MM/DD/YYYY, MM-DD-YYYY, YYYY/MM/DD or
    YYYY-MM-DD, with two digits for month and day.
"""
    )


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_told_in_words(state: State) -> None:
    text = write_report_text(replace(LOADED, state=state))
    assert f"The delivery is {state}." not in text


def test_dry_run_says_what_would_become_of_it() -> None:
    report = replace(LOADED, state=State.CHECKED, would=State.REJECTED)
    text = " ".join(write_report_text(report).split())
    assert "This was a trial" in text
    assert "they would be rejected and nothing loaded" in text


def test_hold_reason_is_told() -> None:
    report = replace(LOADED, state=State.HELD, hold_reasons=["older-than-roster"])
    assert "* A delivery that was completed later" in write_report_text(report)


def test_long_findings_say_where_the_list_ends() -> None:
    log = some_findings()
    report = replace(with_findings(LOADED, log), findings={"error": 10_001})
    assert "findings.csv lists the first 10,000" in write_report_text(report)


@given(st.text(max_size=60), st.text(max_size=60))
def test_names_from_outside_cannot_steer_a_terminal(epoch: str, name: str) -> None:
    files = [FileJson(name=name, size_bytes=1, sha256=None, rows=None)]
    text = write_report_text(replace(LOADED, epoch=epoch, files=files))
    assert all(character == "\n" or character.isprintable() for character in text)


def test_json_has_the_agreed_fields() -> None:
    found = json.loads(write_report_json(with_findings(LOADED, some_findings())))
    assert found["id"] == "00000000-0000-0000-0000-000000000007"
    assert found["sealed_at"] == "2026-09-01T02:00:05+00:00"
    assert found["finished_at"] is None
    assert found["files"][0] == {
        "name": "students.csv",
        "size_bytes": 245113,
        "sha256": "ab",
        "rows": 1200,
    }
    assert found["counts"]["students"]["unchanged"] == 1182
    assert found["findings"] == {"blocking": 2, "error": 12, "remark": 0}
    group = found["finding_groups"][2]
    assert group["code"] == "bad-date"
    assert group["severity"] == "error"
    assert group["count"] == 12
    assert group["first_lines"] == list(range(2, 12))
    assert found["transitions"][0]["at"] == "2026-09-01T02:00:05+00:00"


def test_json_leaves_out_what_there_is_not() -> None:
    found = as_json(replace(LOADED, id=None))
    assert "id" not in found
    assert "would" not in found


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_csv_cells_are_no_formulas(start: str) -> None:
    finding = Finding.of(
        "bad-date",
        file=f"{start}students.csv",
        line=2,
        column="Date of Birth",
        facts={"value": f"{start}cmd"},
    )
    text = write_findings_csv([finding])
    assert text.startswith("\ufeff")
    headings, row = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    cells = dict(zip(headings, row, strict=True))
    assert cells["File"] == f"'{start}students.csv"
    assert cells["Value"] == f"'{start}cmd"
    assert cells["Line"] == "2"
    assert cells["Code"] == "bad-date"


@given(st.text(min_size=1, max_size=30))
def test_no_cell_of_the_csv_begins_like_a_formula(value: str) -> None:
    finding = Finding.of("bad-date", file=value, line=2, column=value, facts={"value": value})
    text = write_findings_csv([finding]).removeprefix("\ufeff")
    for row in csv.reader(io.StringIO(text, newline="")):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
