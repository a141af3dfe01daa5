# SPDX-License-Identifier: Apache-2.0
"""Collecting findings, and the catalogue and its page."""

import re
import string
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.core.formats.findings import (
    CATALOGUE,
    Code,
    Finding,
    FindingLog,
    Severity,
    shown,
)
from nightdrop.core.formats.findings_page import write_findings_page

ROOT = Path(__file__).parents[3]


def add_dates(
    log: FindingLog, lines: Sequence[int], values: list[str], count: int | None = None
) -> None:
    log.add_many(
        "bad-date",
        file="students.csv",
        column="Date of Birth",
        lines=lines,
        values=values,
        count=count,
    )


def test_finding_takes_severity_and_words_from_its_code() -> None:
    finding = Finding.of("not-csv", file="students.csv", facts={"seems": "a web page"})
    assert finding.severity is Severity.BLOCKING
    assert finding.message == "The file has the right name, but inside it is a web page."


def test_unknown_code_and_wrong_facts_are_refused() -> None:
    with pytest.raises(KeyError):
        Finding.of("no-such-code")
    with pytest.raises(ValueError, match="has the facts"):
        Finding.of("bad-date", file="students.csv")
    with pytest.raises(ValueError, match="has the facts"):
        Finding.of("empty-file", facts={"value": "x"})


def test_all_are_counted_and_some_are_stored() -> None:
    log = FindingLog(limit=5)
    add_dates(log, range(2, 1002), ["x"] * 1000)
    assert log.counts() == {"blocking": 0, "error": 1000, "remark": 0}
    assert len(log.findings) == 5
    assert log.room == 0


def test_places_are_kept_for_what_blocks() -> None:
    log = FindingLog(limit=200)
    add_dates(log, range(2, 1002), ["x"] * 1000)
    log.add("too-many-faulty-rows", file="students.csv", facts={"faulty": "1", "rows": "1"})
    assert len(log.findings) == 199
    assert log.findings[-1].code == "too-many-faulty-rows"
    assert log.is_blocking


def test_group_has_count_lowest_lines_and_different_examples() -> None:
    log = FindingLog()
    add_dates(log, [40, 30], ["1/2/10", "1/2/10"])
    add_dates(log, range(2, 15), ["x"] * 13, count=50)
    (group,) = log.groups()
    assert group.count == 52
    assert group.first_lines == tuple(range(2, 12))
    assert group.examples == ("1/2/10", "x")
    assert group.as_json()["hint"] == CATALOGUE["bad-date"].hint


def test_groups_are_by_cause_and_begin_with_what_blocks() -> None:
    log = FindingLog()
    log.add("trimmed", file="students.csv", line=2, column="City")
    add_dates(log, [3, 9], ["x", "x"])
    log.add("bad-date", file="students.csv", column="Date", line=3, facts={"value": "x"})
    log.add("empty-file", file="guardians.csv")
    assert [(group.code, group.count) for group in log.groups()] == [
        ("empty-file", 1),
        ("bad-date", 2),
        ("bad-date", 1),
        ("trimmed", 1),
    ]


def test_remark_that_is_made_once_has_the_lines_of_all() -> None:
    log = FindingLog()
    log.add_many("trimmed", file="students.csv", column="City", lines=[7, 8])
    log.add_many("trimmed", file="students.csv", column="City", lines=[5])
    assert [finding.line for finding in log.findings] == [7]
    assert log.counts()["remark"] == 1
    assert log.groups()[0].first_lines == (5, 7, 8)


def test_findings_made_elsewhere_are_taken_as_they_are() -> None:
    log = FindingLog()
    finding = Finding.of("empty-file", file="students.csv")
    log.extend([finding])
    assert log.findings == (finding,)


def test_add_many_wants_a_value_for_each_line_and_a_line_for_a_count() -> None:
    log = FindingLog()
    with pytest.raises(ValueError, match="2 values for 1 lines"):
        add_dates(log, [2], ["x", "y"])
    with pytest.raises(ValueError, match="without a line"):
        add_dates(log, [], [], count=3)
    add_dates(log, [], [])
    assert log.groups() == []


def test_values_are_shortened_and_nothing_in_them_is_hidden() -> None:
    assert shown("a\u200bb\x1b[2Jc\u00a0") == "a<U+200B>b<U+001B>[2Jc<U+00A0>"
    assert shown("x" * 41) == "x" * 40 + "..."
    assert shown("x" * 40) == "x" * 40
    assert shown("x" * 500, limit=None) == "x" * 500


@given(st.text())
def test_shown_text_is_short_and_one_visible_line(text: str) -> None:
    found = shown(text)
    assert len(found) <= 60
    assert "\n" not in found
    assert shown(found, limit=None) == found


@pytest.mark.parametrize("code", CATALOGUE.values(), ids=str)
def test_code_is_complete(code: Code) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code.slug)
    for text in (code.title, code.sentence, code.hint, code.example, code.source):
        assert text.strip() == text != ""
    assert code.sentence.endswith(".")
    assert code.hint.endswith((".", '"Ana ""Annie""".', '"Ana ""Annie"" Rivera".'))
    assert "`" not in code.example


@pytest.mark.parametrize("code", CATALOGUE.values(), ids=str)
def test_sentence_uses_all_facts_that_do_not_differ_from_row_to_row(code: Code) -> None:
    used = {name for _, name, _, _ in string.Formatter().parse(code.sentence) if name}
    assert used - {"column"} == set(code.facts) - {"value"}


def test_page_is_current() -> None:
    committed = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert committed == write_findings_page(), "run `make docs`"
