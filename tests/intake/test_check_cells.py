# SPDX-License-Identifier: Apache-2.0
"""Whole columns are judged exactly as `core.formats.values.canonical` judges each cell."""

import unicodedata
from datetime import date

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nightdrop.core.formats.generic import GENERIC
from nightdrop.core.formats.spec import Column, Rule
from nightdrop.core.formats.values import BLANKS, Fault, canonical
from nightdrop.intake.cells import CellReader, ReadCells

TODAY = date(2026, 9, 1)
COLUMNS = tuple(
    Column(
        heading=f"{rule} {required}",
        name=f"{rule.name}_{required}",
        rule=rule,
        required=required,
        choices=("ENROLLED", "WITHDREW") if rule is Rule.CHOICE else (),
    )
    for rule in Rule
    for required in (False, True)
)

#: Texts near the edges of each rule, and texts of anything at all.
LIKELY = st.sampled_from(
    [
        "",
        " ",
        "\u00a0",
        "A1",
        "A-1",
        "x" * 20,
        "x" * 21,
        "x" * 255,
        "x" * 256,
        "é" * 255,
        "é" * 256,
        "M",
        "f",
        "Female",
        "MALE",
        "ENROLLED",
        "enrolled",
        "en",
        "EN",
        "xx",
        "(614) 555-0100",
        " 614 ",
        "call me",
        "a@b.org",
        "a@b",
        "a b@c.org",
        "é@b.org",
        "a@b.org,c@d.org",
        "a\x07@b.org",
        "a@b\x1c.org",
        "04/01/2015",
        "4/1/2015",
        "2015-04-01",
        "2015-02-30",
        "09/02/2026",
        "09/01/2026",
        "09/01/1906",
        "09/02/1906",
        "01/01/0010",
        "0000-01-01",
        "Jose\u0301",
        "a\nb",
        "a\tb",
        "a\x00b",
        "\u0085",
        "a\u0085b",
        "\x1c",
        "M\u0307",
        "٣",
        "\u212b",
        "a\u200b",
        "\ufeffa",
    ]
)
TEXTS = st.one_of(
    LIKELY,
    st.text(max_size=8),
    st.tuples(st.sampled_from(["", *BLANKS]), LIKELY, st.sampled_from(["", *BLANKS])).map("".join),
)  # fmt: skip


def read(columns: tuple[Column, ...], cells: dict[str, list[str]]) -> ReadCells:
    return CellReader(columns, today=TODAY).read(
        pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String))
    )


@given(texts=st.lists(TEXTS.filter(lambda text: "\r" not in text), min_size=1, max_size=30))
@example(texts=["04/01/2015", "", "x"])
def test_each_cell_is_what_the_rule_says(texts: list[str]) -> None:
    """Line ends are LF by then; the rest of Unicode is as it comes."""
    found = read(COLUMNS, {column.name: texts for column in COLUMNS})
    faults = {(fault.column.name, row): fault.code for fault in found.faults for row in fault.rows}
    for column in COLUMNS:
        for row, text in enumerate(texts):
            wanted = canonical(column, text, today=TODAY)
            if isinstance(wanted, Fault):
                assert faults.pop((column.name, row)) == wanted.code
            else:
                assert found.frame[column.name][row] == (wanted or None)
    assert not faults


@given(texts=st.lists(TEXTS, min_size=1, max_size=20))
def test_what_is_canonical_stays_so(texts: list[str]) -> None:
    """A faulty cell keeps its text, but for the blanks around it."""
    column = Column(heading="X", name="x", rule=Rule.EMAIL)
    found = read((column,), {"x": texts})
    for fault in found.faults:
        for row, text in zip(fault.rows, fault.texts, strict=True):
            assert text == unicodedata.normalize("NFC", texts[row].strip(BLANKS))
            assert found.frame["x"][row] == text


def test_trimmed_cells_are_counted_by_column() -> None:
    columns = GENERIC.table("students").columns[1:3]
    found = read(columns, {"last_name": ["a", " b", "c "], "first_name": ["a", "b", "c"]})
    assert {name: rows.to_list() for name, rows in found.trimmed.items()} == {"last_name": [1, 2]}
    assert found.frame.rows() == [("a", "a"), ("b", "b"), ("c", "c")]


def test_answers_are_remembered_only_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightdrop.intake.cells._REMEMBERED", 3)
    column = Column(heading="X", name="x", rule=Rule.PAST_DATE)
    reader = CellReader((column,), today=TODAY)
    for month in range(1, 8):
        frame = pl.DataFrame({"x": [f"{month:02}/{day:02}/2015" for day in (1, 2)]})
        read_again = reader.read(frame).frame["x"].to_list()
        assert read_again == [f"2015-{month:02}-{day:02}" for day in (1, 2)]


def test_nothing_is_nothing() -> None:
    assert read(COLUMNS, {column.name: [] for column in COLUMNS}).frame.height == 0
