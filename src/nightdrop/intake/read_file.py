# SPDX-License-Identifier: Apache-2.0
"""Reading one table's file from end to end: its findings, and an index of its rows.

Of a row only its line, its hashes and whether it is faulty are kept: 29 bytes, whatever
is in it. All that needs to see more than one row comes later, in `check_across`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from nightdrop.core.formats.findings import CATALOGUE, FindingLog
from nightdrop.core.formats.limits import Limits
from nightdrop.core.formats.spec import Table
from nightdrop.intake.blocks import LineTooLong
from nightdrop.intake.cells import CellFaults, CellReader, ReadCells
from nightdrop.intake.hashing import hash_keys, hash_rows
from nightdrop.intake.read_exact import FaultyLines
from nightdrop.intake.text_rows import RawRows, TextRows

#: Of a remark about rows, so many lines are listed; they shall not crowd out the faults.
REMARK_LINES: Final = 100

_INDEX: Final = {
    "line": pl.UInt32,
    "row_hash": pl.Int64,
    "key_hash": pl.Int64,
    "parent_hash": pl.Int64,
    "is_faulty": pl.Boolean,
    "is_left_out": pl.Boolean,
}


@dataclass(slots=True, kw_only=True)
class ReadFile:
    """A file that was read, while it is being checked.

    `index` has a row for each row of the file: its line, its hashes as in `CheckedFile`,
    and why it is not loaded: `is_faulty` by a fault, `is_left_out` without one.
    `broken_lines` counts the lines that are no rows. `is_whole` is False when reading
    stopped at a limit.
    """

    table: Table
    file_name: str
    text: TextRows
    supplied: tuple[str, ...]
    index: pl.DataFrame
    broken_lines: int
    is_whole: bool
    duplicates: int = 0
    has_unknown_parent: bool = False

    @property
    def rows(self) -> int:
        """All data rows, those that could not be read included."""
        return self.index.height + self.broken_lines

    @property
    def faulty(self) -> int:
        """The rows that a fault keeps out."""
        return int(self.index["is_faulty"].sum()) + self.broken_lines

    @property
    def has_keys(self) -> bool:
        """True when the file has all columns of the key."""
        return set(self.table.key) <= set(self.supplied)

    def loadable_index(self) -> pl.DataFrame:
        """Return the index as `CheckedFile` has it."""
        return self.index.select(
            "row_hash",
            "key_hash",
            "parent_hash",
            is_loadable=~(pl.col("is_faulty") | pl.col("is_left_out")),
        )


def read_file(
    text: TextRows,
    *,
    table: Table,
    file_name: str,
    reader: CellReader,
    log: FindingLog,
    limits: Limits,
) -> ReadFile:
    """Read all rows of a file, add what is found to `log`, and index the rows.

    Raises: OSError when the file cannot be read.
    """
    reading = _Reading(text=text, table=table, file_name=file_name, log=log, limits=limits)
    is_whole = True
    try:
        for raw in text.read_all():
            is_whole = reading.take(raw, reader)
            if not is_whole:
                break
    except LineTooLong as refusal:
        is_whole = False
        reading.report_long_cell(refusal.line)
    reading.report_remarks()
    return ReadFile(
        table=table,
        file_name=file_name,
        text=text,
        supplied=reading.supplied,
        index=pl.concat([pl.DataFrame(schema=_INDEX), *reading.pieces]),
        broken_lines=reading.broken_lines,
        is_whole=is_whole,
    )


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What is carried from block to block."""

    text: TextRows
    table: Table
    file_name: str
    log: FindingLog
    limits: Limits
    pieces: list[pl.DataFrame] = field(default_factory=list)
    rows: int = 0
    broken_lines: int = 0
    blank: FaultyLines = field(default_factory=FaultyLines)
    trimmed: dict[str, FaultyLines] = field(default_factory=dict)

    @property
    def supplied(self) -> tuple[str, ...]:
        names = set(self.text.layout.names.values())
        return tuple(column.name for column in self.table.columns if column.name in names)

    def take(self, raw: RawRows, reader: CellReader) -> bool:
        """Check a block; return False when reading must stop."""
        self._report_lines(raw)
        self.rows += raw.frame.height
        if self.rows + self.broken_lines > self.limits.rows:
            facts = {"limit": f"{self.limits.rows:,}"}
            self.log.add("too-many-rows", file=self.file_name, facts=facts)
            return False
        long_line = raw.line_of_longer(limit_bytes=self.limits.cell_bytes)
        if long_line is not None:
            self.report_long_cell(long_line)
            return False
        cells = reader.read(raw.frame)
        for faults in cells.faults:
            self._report_cells(faults, raw.lines)
        for name, rows in cells.trimmed.items():
            _count(self.trimmed.setdefault(name, FaultyLines()), raw.lines, rows)
        self.pieces.append(_indexed(cells, lines=raw.lines, table=self.table, order=self.supplied))
        return True

    def report_long_cell(self, line: int) -> None:
        facts = {"limit": _size_text(self.limits.cell_bytes)}
        self.log.add("cell-too-long", file=self.file_name, line=line, facts=facts)

    def report_remarks(self) -> None:
        if self.blank.count:
            self.log.add_many(
                "blank-lines",
                file=self.file_name,
                lines=self.blank.lines[:REMARK_LINES],
                count=self.blank.count,
            )
        for name, found in self.trimmed.items():
            self.log.add_many(
                "trimmed",
                file=self.file_name,
                column=self.table.column(name).heading,
                lines=found.lines[:REMARK_LINES],
                count=found.count,
            )

    def _report_lines(self, raw: RawRows) -> None:
        self.blank.count += raw.blank_lines.count
        self.blank.lines += raw.blank_lines.lines[: REMARK_LINES - len(self.blank.lines)]
        for fault, found in raw.faults.items():
            self.broken_lines += found.count
            facts = CATALOGUE[fault].facts
            self.log.add_many(
                fault,
                file=self.file_name,
                lines=found.lines,
                values=found.texts if "value" in facts else None,
                facts={"expected": str(self.text.layout.width)} if "expected" in facts else {},
                count=found.count,
            )
        if raw.cut_off_line is not None:
            self.log.add("cut-off", file=self.file_name, line=raw.cut_off_line)

    def _report_cells(self, faults: CellFaults, lines: pl.Series) -> None:
        facts = CATALOGUE[faults.code].facts
        kept = max(self.log.room, REMARK_LINES)
        self.log.add_many(
            faults.code,
            file=self.file_name,
            column=faults.column.heading,
            lines=lines.gather(faults.rows.head(kept)).to_list(),
            values=faults.texts.head(kept).to_list() if "value" in facts else None,
            facts={"choices": ", ".join(faults.column.choices)} if "choices" in facts else {},
            count=len(faults.rows),
        )


def _count(found: FaultyLines, lines: pl.Series, rows: pl.Series) -> None:
    found.count += len(rows)
    found.lines += lines.gather(rows.head(REMARK_LINES - len(found.lines))).to_list()


def _indexed(
    cells: ReadCells, *, lines: pl.Series, table: Table, order: Sequence[str]
) -> pl.DataFrame:
    """Keep what is needed of each row of a block."""
    frame = cells.frame
    is_faulty = pl.repeat(value=False, n=frame.height, eager=True)
    bad_rows: dict[str, list[pl.Series]] = {}
    for faults in cells.faults:
        is_faulty = is_faulty.scatter(faults.rows, values=True)
        bad_rows.setdefault(faults.column.name, []).append(faults.rows)
    parent = _hashed_parent(frame, table, bad_rows)
    return pl.DataFrame(
        {
            "line": lines,
            "row_hash": hash_rows(frame, columns=order),
            "key_hash": _hashed_key(frame, table, bad_rows),
            "parent_hash": parent,
            "is_faulty": is_faulty,
            "is_left_out": pl.repeat(value=False, n=frame.height, eager=True),
        },
        schema=_INDEX,
    )


def _hashed_parent(
    frame: pl.DataFrame, table: Table, bad_rows: Mapping[str, Sequence[pl.Series]]
) -> pl.Series:
    name = table.key[0]
    if table.parent is None or name not in frame.columns:
        return pl.repeat(None, frame.height, dtype=pl.Int64, eager=True)
    return _without(hash_keys(frame.select(name)), bad_rows.get(name, ())).set(
        frame[name].is_null(), None
    )


def _hashed_key(
    frame: pl.DataFrame, table: Table, bad_rows: Mapping[str, Sequence[pl.Series]]
) -> pl.Series:
    """Hash the key; null where a cell of it is empty or faulty."""
    key = list(table.key)
    if not set(key) <= set(frame.columns):
        return pl.repeat(None, frame.height, dtype=pl.Int64, eager=True)
    sound = frame.select(key).with_columns(
        _without(frame[name], bad_rows[name]) for name in key if name in bad_rows
    )
    alternative = table.alternative_key
    if alternative is None or alternative not in frame.columns:
        is_known = sound.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
        return hash_keys(sound).set(~is_known, None)
    # Where the alternative is filled it stands for all of the key but the first part, so
    # the other parts must not count.
    other = frame[alternative]
    has_other = other.is_not_null()
    sound = sound.select(key[0], *(pl.when(~has_other).then(name).alias(name) for name in key[1:]))
    is_known = sound[key[0]].is_not_null() & (
        has_other | sound.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    )
    hashes = hash_keys(sound.with_columns(other)).set(~is_known, None)
    return _without(hashes, bad_rows.get(alternative, ()))


def _without(series: pl.Series, bad_rows: Sequence[pl.Series]) -> pl.Series:
    for rows in bad_rows:
        series = series.scatter(rows, None)
    return series


def _size_text(size_bytes: int) -> str:
    mib = 1024 * 1024
    return f"{size_bytes // mib} MiB" if size_bytes >= mib else f"{size_bytes:,} bytes"
