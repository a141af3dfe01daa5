# SPDX-License-Identifier: Apache-2.0
"""Bringing rows of a checked file into a temporary table of the database."""

from collections.abc import Generator
from contextlib import closing
from io import BytesIO

import polars as pl
import psycopg
from psycopg import sql

from nightdrop.intake.ahead import one_ahead
from nightdrop.intake.checked import CheckedFile
from nightdrop.intake.roster_table import RosterTable

Connection = psycopg.Connection[tuple[object, ...]]
Cursor = psycopg.Cursor[tuple[object, ...]]

#: Below this many rows the planner does as well with its guess.
_ANALYZE_ROWS = 500


def make_stage(cursor: Cursor, roster: RosterTable) -> None:
    """Make the table's stage, or empty the one that an earlier comparison filled."""
    cursor.execute(roster.stage_statement())
    cursor.execute(sql.SQL("DELETE FROM {}").format(roster.stage))


def stage_rows(
    cursor: Cursor, roster: RosterTable, checked: CheckedFile, wanted: pl.Series
) -> None:
    """Copy the wanted rows into the table's empty stage; `wanted` as for `CheckedFile.frames`."""
    with (
        cursor.copy(roster.copy_statement()) as copy,
        closing(blocks_of(checked, wanted)) as blocks,
    ):
        for block in blocks:
            copy.write(block)
    analyze(cursor, roster.stage, rows=int(wanted.sum()))


def analyze(cursor: Cursor, table: sql.Composable, *, rows: int) -> None:
    """Tell the planner what is in a temporary table; nobody else does."""
    if rows > _ANALYZE_ROWS:
        cursor.execute(sql.SQL("ANALYZE {}").format(table))


def blocks_of(checked: CheckedFile, wanted: pl.Series) -> Generator[memoryview]:
    """Read the wanted rows again and write them as CSV for COPY, one block ahead.

    While the database works on one block, the next is being read: Polars works without
    Python's lock, and so does waiting for the database. Each block is sorted by the key,
    which costs a hundredth of what it saves in the index.
    """
    return one_ahead(_as_csv(frame) for frame in checked.frames(wanted))


def copy_integers(cursor: Cursor, copy_to: sql.Composable, values: pl.Series) -> None:
    """Copy a series into a temporary table with one column."""
    with cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(copy_to)) as copy:
        copy.write(_as_csv(values.to_frame()))


def _as_csv(frame: pl.DataFrame) -> memoryview:
    """Write CSV as COPY reads it: null is an unquoted nothing."""
    buffer = BytesIO()
    frame.write_csv(buffer, include_header=False)
    return buffer.getbuffer()
