# SPDX-License-Identifier: Apache-2.0
"""Rows are read exactly: each sound one on its line, each other line with its fault."""

import csv
import io
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from nightdrop.core.formats.spec import Column
from nightdrop.intake.blocks import BLOCK_BYTES, LineTooLong
from nightdrop.intake.read_fast import read_fast
from nightdrop.intake.records import (
    DAMAGE,
    Record,
    RowFault,
    read_record,
    read_row,
    sound_line_pattern,
)
from nightdrop.intake.text_rows import Layout, TextRows

TODAY = date(2026, 9, 1)


@dataclass(frozen=True)
class Found:
    rows: list[tuple[int, tuple[str, ...]]]
    faults: list[tuple[int, str]]
    blank_lines: list[int]


def text_rows(path: Path, data: bytes, *, width: int, block_bytes: int) -> TextRows:
    path.write_bytes(data)
    columns = tuple(Column(heading=str(n), name=f"c{n}") for n in range(width))
    layout = Layout(columns=columns, start=0, first_line=1)
    return TextRows(path, layout=layout, today=TODAY, block_bytes=block_bytes)


def read(path: Path, data: bytes, *, width: int, block_bytes: int = BLOCK_BYTES) -> Found:
    rows: list[tuple[int, tuple[str, ...]]] = []
    faults: list[tuple[int, str]] = []
    blank_lines: list[int] = []
    for raw in text_rows(path, data, width=width, block_bytes=block_bytes).read_all():
        rows += zip(raw.lines.to_list(), raw.frame.rows(), strict=True)
        faults += [(line, code) for code, found in raw.faults.items() for line in found.lines]
        blank_lines += raw.blank_lines.lines
    return Found(rows, sorted(faults), sorted(blank_lines))


def plainly_read(data: bytes, *, width: int) -> Found:
    """The rules of `read_exact`, with nothing but a loop."""
    lines = re.split(r"\r\n|\r|\n", data.decode())
    if lines[-1] == "":
        lines.pop()
    sound = [bool(line) and is_row(line, width=width) for line in lines]
    found = Found([], [], [])
    index = 0
    while index < len(lines):
        end = next((n for n in range(index, len(lines)) if sound[n]), len(lines))
        record = read_row("\n".join(lines[index : max(end, index + 1)]), width=width)
        if lines[index] == "":
            found.blank_lines.append(index + 1)
            index += 1
        elif isinstance(record, Record):
            found.rows.append((index + 1, record.cells))
            index += 1 + "\n".join(lines[index : max(end, index + 1)])[: record.end - 1].count("\n")
        else:
            found.faults.append((index + 1, record.fault))
            index += 1
    return Found(found.rows, sorted(found.faults), found.blank_lines)


def is_row(line: str, *, width: int) -> bool:
    return isinstance(read_row(line, width=width), Record)


#: Texts in which quotes, commas and line ends are likely to stand where they hurt.
PIECES = st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "a", "é", " ", '"a"', "a,b\n", "\0"])
TEXTS = st.lists(PIECES, min_size=1, max_size=40).map("".join)


@given(text=TEXTS, width=st.integers(1, 3))
@example(text="a,\na\naa,\naaa,,", width=2)
@example(text='"a"a"a"a",b\n', width=2)
@example(text='1,"Smith,x\n2,y\n3,z",x\n', width=2)
@example(text="a,b\r\r\nc,d\r\r\n", width=2)
def test_any_text_is_read_by_the_rules(
    tmp_path_factory: pytest.TempPathFactory, text: str, width: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    assert read(path, text.encode(), width=width) == plainly_read(text.encode(), width=width)


CELLS = st.text(st.sampled_from('ab é,"\n;'), max_size=6)


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=12),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_another_library_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    line_end: str,
    quoting: Literal[0, 1],
) -> None:
    """Cells with a line that is a row by itself are left out: that line is read as a row."""
    records = [written(row, line_end=line_end, quoting=quoting) for row in rows]
    assume(not any(is_row(line, width=3) for record in records for line in inner_lines(record)))
    path = tmp_path_factory.getbasetemp() / "written.csv"
    found = read(path, "".join(records).encode(), width=3)
    assert [cells for _, cells in found.rows] == rows
    assert found.faults == []


def written(row: tuple[str, ...], *, line_end: str, quoting: Literal[0, 1]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=line_end, quoting=quoting).writerow(row)
    return buffer.getvalue()


def inner_lines(record: str) -> list[str]:
    lines = record.splitlines()
    return lines if len(lines) > 1 else []


@given(line=st.lists(PIECES, max_size=12).map("".join), width=st.integers(1, 4))
def test_the_pattern_and_the_grammar_agree(line: str, width: int) -> None:
    line = line.replace("\r", "").replace("\n", "").replace("\0", "")
    is_sound = re.fullmatch(sound_line_pattern(width), line) is not None
    assert is_sound == is_row(line, width=width)


@given(data=TEXTS.map(str.encode), width=st.integers(2, 4))
def test_the_fast_way_takes_sound_lines_only(data: bytes, width: int) -> None:
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + b"\n"
    lines = data.decode().split("\n")[:-1]
    frame = read_fast(data, rows=len(lines), width=width)
    if frame is not None:
        assert frame.rows() == [record_of(line) for line in lines]
    elif b'"' not in data:
        assert not all(is_row(line, width=width) for line in lines)


def record_of(line: str) -> tuple[str, ...]:
    record = read_record(line)
    assert isinstance(record, Record)
    return record.cells


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block_bytes", [40, 64, 1000])
def test_blocks_of_any_size_give_the_same_rows(
    tmp_path: Path, line_end: str, block_bytes: int
) -> None:
    text = "".join(
        f'{n},"street {n}{line_end}flat {n}",c{line_end}' if n % 7 == 3 else f"{n},b,c{line_end}"
        for n in range(200)
    )
    once = read(tmp_path / "a.csv", text.encode(), width=3)
    pieces = read(tmp_path / "b.csv", text.encode(), width=3, block_bytes=block_bytes)
    assert pieces == once
    assert len(once.rows) == 200
    assert not once.faults


def test_no_row_is_lost_behind_an_unclosed_quote(tmp_path: Path) -> None:
    """Whatever the blocks are, only the damaged line is missing."""
    rows = [f"{n},b,c\n" for n in range(1000)]
    rows[500] = '500,"b,c\n'
    found = read(tmp_path / "a.csv", "".join(rows).encode(), width=3, block_bytes=128)
    assert len(found.rows) == 999
    assert found.faults == [(501, RowFault.UNCLOSED_QUOTE)]


def test_two_open_quotes_do_not_swallow_what_is_between(tmp_path: Path) -> None:
    data = b'1,"Smith,x\n2,Jones,y\n3,Lee",z\n'
    found = read(tmp_path / "a.csv", data, width=3)
    assert found.rows == [(2, ("2", "Jones", "y"))]
    assert found.faults == [(1, RowFault.UNCLOSED_QUOTE), (3, RowFault.STRAY_QUOTE)]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1,2", RowFault.TOO_SHORT),
        ("1,2,3,4", RowFault.TOO_LONG),
        ("1,2,3,", RowFault.TOO_LONG),
        ('1,"2,3', RowFault.UNCLOSED_QUOTE),
        ('1,"2"x,3', RowFault.TEXT_AFTER_QUOTE),
        ('1,"2" ,3', RowFault.TEXT_AFTER_QUOTE),
        ('1,2"x",3', RowFault.STRAY_QUOTE),
        ('1, "2",3', RowFault.STRAY_QUOTE),
        ("1,2\0,3", RowFault.NUL),
        (f"1,2{DAMAGE},3", RowFault.BAD_BYTES),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_fault_is_on_its_line(tmp_path: Path, line: str, fault: RowFault, line_end: str) -> None:
    lines = ["a,b,c"] * 100
    lines[60] = line
    found = read(tmp_path / "a.csv", line_end.join(lines).encode(), width=3)
    assert found.faults == [(61, fault)]
    assert [number for number, _ in found.rows] == [n for n in range(1, 101) if n != 61]


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    data = b'a,b\r\nc,"d\re\nf"\r\rg,h\n\ni'
    found = read(tmp_path / "a.csv", data, width=2)
    assert found.rows == [(1, ("a", "b")), (2, ("c", "d\ne\nf")), (6, ("g", "h"))]
    assert found.blank_lines == [5, 7]
    assert found.faults == [(8, RowFault.TOO_SHORT)]


def test_an_empty_line_in_quotes_is_text(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", b'a,"b\n\nc"\n\nd,e\n', width=2)
    assert found.rows == [(1, ("a", "b\n\nc")), (5, ("d", "e"))]
    assert found.blank_lines == [4]


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    rows = text_rows(tmp_path / "a.csv", b"a,b\n" + b"x" * 200, width=2, block_bytes=100)
    with pytest.raises(LineTooLong) as refusal:
        list(rows.read_all())
    assert refusal.value.line == 2


def test_a_text_that_breaks_off_says_where(tmp_path: Path) -> None:
    for data, line in (
        (b"a,b\nc", 2),
        (b'a,b\nc,"d', 2),
        (b'a,b\nc,"d\ne', 3),
        (b"a,b\nc\n", None),
        (b"a,b\nc,d", None),
        (b"a\nc,d", None),
    ):
        rows = text_rows(tmp_path / "a.csv", data, width=2, block_bytes=BLOCK_BYTES)
        assert [raw.cut_off_line for raw in rows.read_all()] == [line]


@given(data=st.data())
def test_rows_are_read_again_by_their_numbers(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = data.draw(
        st.lists(
            st.sampled_from(['{n},"b,b",c', "{n},b,c", '{n},"b\nb",c', "{n},b", ""]), max_size=30
        )
    )
    text = "".join(line.format(n=n) + "\n" for n, line in enumerate(lines))
    path = tmp_path_factory.getbasetemp() / "again.csv"
    rows = text_rows(path, text.encode(), width=3, block_bytes=data.draw(st.integers(30, 90)))
    frames = [raw.frame for raw in rows.read_all()]
    found = pl.concat(frames) if frames else pl.DataFrame(schema=["c0", "c1", "c2"])
    marks = st.lists(st.booleans(), min_size=found.height, max_size=found.height)
    wanted = pl.Series(data.draw(marks), dtype=pl.Boolean)
    columns = [column for column in rows.layout.columns if column is not None]
    again = [
        (number, *cells)
        for numbers, frame in rows.read_again(wanted, columns=columns)
        for number, cells in zip(numbers, frame.rows(), strict=True)
    ]
    kept = found.with_row_index().filter(wanted)
    assert again == kept.rows()
