# SPDX-License-Identifier: Apache-2.0
"""The rows of one text, block by block, as often as they are wanted.

The first time through, each block is remembered as a `Span`: where it is and which rows
it has. Later only the blocks with wanted rows are read again, in the same way, so that
rows keep their numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from nightdrop.core.formats.spec import Column
from nightdrop.intake.blocks import BLOCK_BYTES, Block, Place, cut_blocks, read_block
from nightdrop.intake.cells import CellReader
from nightdrop.intake.read_exact import FaultyLines, read_exact
from nightdrop.intake.read_fast import read_fast
from nightdrop.intake.records import RowFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the heading row says: a column for each cell, None where it is not read.

    `start` and `first_line` are where the rows begin. No column is there twice.
    """

    columns: tuple[Column | None, ...]
    start: int
    first_line: int

    @property
    def width(self) -> int:
        """How many cells a row must have."""
        return len(self.columns)

    @property
    def names(self) -> Mapping[str, str]:
        """For each cell that is read: its position, as text, and the column's name."""
        return {
            str(position): column.name
            for position, column in enumerate(self.columns)
            if column is not None
        }


@dataclass(frozen=True, slots=True)
class Span:
    """A block, and the rows in it: from `first_row` on, `rows` many."""

    place: Place
    first_row: int
    rows: int


@dataclass(frozen=True, slots=True)
class RawRows:
    """The rows of a block as they are written.

    Shape: `frame` has a String column for each column that is read, by name, without
           nulls; `whole` has every cell of the file, by position; `lines` is the line of
           each row, UInt32. `cut_off_line` is the text's last line when it has no line end
           and is no row: the text breaks off there.
    """

    frame: pl.DataFrame
    whole: pl.DataFrame
    lines: pl.Series
    faults: Mapping[RowFault, FaultyLines]
    blank_lines: FaultyLines
    cut_off_line: int | None

    def line_of_longer(self, *, limit_bytes: int) -> int | None:
        """Return the first line with a cell of more than `limit_bytes`; None without one."""
        is_longer = pl.all().str.len_bytes() > limit_bytes
        if not self.whole.select(pl.any_horizontal(is_longer.any())).item():
            return None
        rows = self.whole.select(pl.any_horizontal(is_longer)).to_series().arg_true()
        return int(self.lines[rows[0]])


class TextRows:
    """Reads the rows of a UTF-8 text that has this layout."""

    def __init__(
        self, path: Path, *, layout: Layout, today: date, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.layout = layout
        self.spans: list[Span] = []
        self._path = path
        self._today = today
        self._block_bytes = block_bytes

    def read_all(self) -> Iterator[RawRows]:
        """Read every block, and remember where its rows are.

        Raises: LineTooLong, OSError.
        """
        self.spans.clear()
        first_row = 0
        with self._path.open("rb") as file:
            for block in cut_blocks(
                file,
                offset=self.layout.start,
                first_line=self.layout.first_line,
                width=self.layout.width,
                block_bytes=self._block_bytes,
            ):
                raw = _read_rows(block, layout=self.layout)
                self.spans.append(Span(block.place, first_row, raw.frame.height))
                first_row += raw.frame.height
                yield raw

    def read_again(
        self, wanted: pl.Series, *, columns: Sequence[Column]
    ) -> Iterator[tuple[pl.Series, pl.DataFrame]]:
        """Read the rows for which `wanted` is true, in canonical form.

        Shape: `wanted` is Boolean, one for each row that `read_all` found. Yields, for each
               block with such rows, their row numbers and their cells.
        """
        cells = CellReader(columns, today=self._today)
        names = [column.name for column in columns]
        with self._path.open("rb") as file:
            for span in self.spans:
                rows = wanted.slice(span.first_row, span.rows).arg_true()
                if rows.is_empty():
                    continue
                raw = _read_rows(read_block(file, span.place), layout=self.layout)
                frame = raw.frame.select(names)[rows]
                yield rows + span.first_row, cells.read(frame).frame


def _read_rows(block: Block, *, layout: Layout) -> RawRows:
    faults: Mapping[RowFault, FaultyLines] = {}
    blank_lines = FaultyLines()
    first_line = block.place.first_line
    frame = read_fast(block.data, rows=block.line_count, width=layout.width)
    if frame is None:
        exact = read_exact(block.data, width=layout.width, first_line=first_line)
        frame, lines = exact.frame, exact.lines
        faults, blank_lines = exact.faults, exact.blank_lines
    else:
        lines = pl.int_range(first_line, first_line + frame.height, dtype=pl.UInt32, eager=True)
    return RawRows(
        frame=frame.select(pl.col(cell).alias(name) for cell, name in layout.names.items()),
        whole=frame,
        lines=lines,
        faults=faults,
        blank_lines=blank_lines,
        cut_off_line=_cut_off_line(block, faults),
    )


def _cut_off_line(block: Block, faults: Mapping[RowFault, FaultyLines]) -> int | None:
    last_line = block.place.first_line + block.line_count - 1
    breaks = (faults.get(RowFault.TOO_SHORT), faults.get(RowFault.UNCLOSED_QUOTE))
    is_cut_off = not block.is_ended and any(found and found.last == last_line for found in breaks)
    return last_line if is_cut_off else None
