# SPDX-License-Identifier: Apache-2.0
"""Reading a block of any kind, line by line, losing no good row.

The rule that finds the way back after an unclosed quote: *a line that is a row all by
itself is a row*. So a quote never swallows a sound line. The price is a quoted cell with
an inner line of exactly as many cells as the table has columns; nobody's address is that.

What lies between sound lines is a run of odd lines, and only those are read by `records`,
one record after the other: cells with line breaks are whole records again, and each other
line gets its own fault. After a fault, reading goes on one line later.

Empty lines between records are skipped and counted; within a quoted cell they are text.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from nightdrop.intake.read_fast import has_damage, parse
from nightdrop.intake.records import DAMAGE, BadRecord, RowFault, read_row, sound_line_pattern

#: Lines are handed from Polars to Python in slices of this many.
_SLICE_LINES: Final = 50_000
#: A longer run is cut; a cell of so many lines is no cell.
_RUN_LINES: Final = 10_000
#: Of each kind of fault, how many lines of a block are remembered; all are counted.
_KEPT: Final = 10_000


@dataclass(slots=True)
class FaultyLines:
    """The lines of a block with one fault: all counted, the first and the last remembered."""

    count: int = 0
    last: int = 0
    lines: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def add(self, line: int, text: str) -> None:
        """Count one more."""
        self.count += 1
        self.last = line
        if self.count <= _KEPT:
            self.lines.append(line)
            self.texts.append(text)


@dataclass(slots=True)
class ExactRows:
    """What a block holds: its rows, the line of each, and what is no row.

    Shape: `frame` as `read_fast` gives it; `lines` UInt32.
    """

    frame: pl.DataFrame
    lines: pl.Series
    faults: dict[RowFault, FaultyLines]
    blank_lines: FaultyLines


def read_exact(data: bytes, *, width: int, first_line: int) -> ExactRows:
    """Read a block of lines of any kind."""
    lines = _split(data, first_line=first_line)
    is_empty = pl.col("text").is_in(["", "\r"])
    is_sound = ~is_empty & pl.col("text").str.contains(rf"\A{sound_line_pattern(width)}\r?\z")
    if has_damage(data):
        is_sound &= ~pl.col("text").str.contains(rf"[\x00{DAMAGE}]")
    lines = lines.with_columns(is_sound=is_sound)
    if lines["is_sound"].all():
        return ExactRows(parse(data, width=width), lines["line"], {}, FaultyLines())
    lines = lines.with_columns(
        # No quote is open behind a sound line, so empty lines there are empty lines.
        follows_sound=pl.when(~is_empty).then("is_sound").forward_fill().fill_null(value=True)
    )
    is_blank = is_empty & pl.col("follows_sound")
    blank = lines.filter(is_blank)["line"]
    found = FaultyLines(count=len(blank), lines=blank.head(_KEPT).to_list())
    reader = _OddLines(width=width, blank=found)
    for run in _runs(lines.filter(~pl.col("is_sound") & ~is_blank)):
        reader.read(run)
    return _joined(lines, reader)


def _split(data: bytes, *, first_line: int) -> pl.DataFrame:
    """Make a frame of the lines, without LF; the CR of a CRLF stays, Polars knows it."""
    text = pl.Series("text", [data], dtype=pl.Binary).cast(pl.String)
    lines = text.str.split("\n").explode()
    numbers = pl.int_range(first_line, first_line + len(lines), dtype=pl.UInt32, eager=True)
    # What follows the last LF is no line.
    return pl.DataFrame([numbers.alias("line"), lines]).head(-1)


def _runs(lines: pl.DataFrame) -> Iterator[list[tuple[int, str]]]:
    """Group lines that follow one another."""
    run: list[tuple[int, str]] = []
    for part in lines.select("line", "text").iter_slices(_SLICE_LINES):
        for line, text in part.iter_rows():
            if run and (line != run[-1][0] + 1 or len(run) >= _RUN_LINES):
                yield run
                run = []
            run.append((line, text.removesuffix("\r")))
    if run:
        yield run


class _OddLines:
    """Reads runs of odd lines and collects the rows and the faults."""

    def __init__(self, *, width: int, blank: FaultyLines) -> None:
        self.lines: list[int] = []
        self.rows: list[tuple[str, ...]] = []
        self.faults: dict[RowFault, FaultyLines] = {}
        self.blank = blank
        self.width = width

    def read(self, run: list[tuple[int, str]]) -> None:
        """Read the records of a run; a fault takes one line, a record as many as it has."""
        text = "\n".join(line for _, line in run)
        first_line = run[0][0]
        position = 0
        index = 0
        while index < len(run):
            line_text = run[index][1]
            record = read_row(text, position, width=self.width)
            if not line_text:
                self.blank.add(first_line + index, "")
            elif isinstance(record, BadRecord):
                self.faults.setdefault(record.fault, FaultyLines()).add(
                    first_line + index, line_text
                )
            else:
                self.lines.append(first_line + index)
                self.rows.append(record.cells)
                index += text.count("\n", position, record.end - 1) + 1
                position = record.end
                continue
            index += 1
            position += len(line_text) + 1


def _joined(lines: pl.DataFrame, odd: _OddLines) -> ExactRows:
    """Parse the sound lines, with an empty row wherever a record of the runs goes in."""
    kept = lines.filter(pl.col("is_sound") | pl.col("line").is_in(odd.lines))
    places = (~kept["is_sound"]).arg_true()
    texts = kept["text"].scatter(places, '""' + "," * (odd.width - 1)) if odd.rows else kept["text"]
    # The joined text ends in an LF; without any line there is nothing to parse.
    joined: bytes = texts.str.join("\n").cast(pl.Binary).item()
    frame = parse(joined + b"\n" if kept.height else b"", width=odd.width)
    cells = zip(*odd.rows, strict=True)
    frame = frame.with_columns(
        frame[str(position)].scatter(places, pl.Series(texts, dtype=pl.String))
        for position, texts in enumerate(cells)
    )
    return ExactRows(frame, kept["line"], odd.faults, odd.blank)
