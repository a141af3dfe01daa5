# SPDX-License-Identifier: Apache-2.0
"""What loading a checked file would change, before anything is written.

The roster keeps a hash of each row. All hashes of a district come in one value; rows of
the file with a hash of the roster are unchanged and go nowhere. Only the others are read
again, staged, and compared cell by cell: a hash says for certain that a row is the same,
and only perhaps that it is not, because it also covers which columns the file supplies.
"""

from dataclasses import dataclass

import polars as pl
import psycopg

from nightdrop.intake.checked import CheckedFile
from nightdrop.intake.departures import find_departures
from nightdrop.intake.roster_table import RosterTable
from nightdrop.intake.staging import Connection, Cursor, make_stage, stage_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What loading one checked file would do to its roster table.

    Valid in the transaction that made it, which also holds the staged rows. `roster_rows`:
    what the table has now; with none, nothing is staged and each row is an addition.
    `staged_rows`: those that hashes alone could not call unchanged.
    """

    checked: CheckedFile
    roster_rows: int
    added: int
    updated: int
    deleted: int
    staged_rows: int = 0

    @property
    def unchanged(self) -> int:
        """Rows of the file that the roster has with the same cells."""
        loadable = int(self.checked.index["is_loadable"].sum())
        return loadable - self.added - self.updated


def compare(
    connection: Connection, checked: CheckedFile, *, students: CheckedFile | None = None
) -> Comparison:
    """Find out what loading a file would change; writes to temporary tables only.

    Call it in a transaction that has set its district and holds the roster's lock.

    1. Fetch the roster's row hashes. None: everything is new, and nothing more to do.
    2. Stage the rows whose hash the roster does not have, and count what they change.
    3. With a parent table: find rows of the roster that the file no longer lists. Those
       that come under another key are updates; of the others those are deleted whose
       student is among the loaded `students`, unless a fault forbids it.
    """
    roster = RosterTable(checked.table, checked.supplied)
    loadable = checked.index["is_loadable"]
    with psycopg.Cursor(connection) as cursor:
        known = _fetch_hashes(cursor, roster)
        if known.is_empty():
            return Comparison(
                checked=checked, roster_rows=0, added=int(loadable.sum()), updated=0, deleted=0
            )
        hashes = checked.index["row_hash"]
        is_new = loadable & ~hashes.is_in(known.implode())
        missing = known.clear()
        if checked.table.parent is not None:
            missing = known.filter(~known.is_in(hashes.filter(loadable).implode()))
        added = updated = deleted = 0
        # Most nights of most tables: nothing to look at, and no statement to run.
        if is_new.any() or not missing.is_empty():
            make_stage(cursor, roster)
            stage_rows(cursor, roster, checked, is_new)
            if not missing.is_empty():
                deleted = find_departures(
                    cursor, roster, checked=checked, students=students, missing=missing
                )
            added, updated = _count_changes(cursor, roster)
    return Comparison(
        checked=checked,
        roster_rows=len(known),
        staged_rows=int(is_new.sum()),
        added=added,
        updated=updated,
        deleted=deleted,
    )


def _fetch_hashes(cursor: Cursor, roster: RosterTable) -> pl.Series:
    cursor.execute(roster.statement("roster_hashes"), binary=True)
    row = cursor.fetchone()
    blob = row[0] if row else None
    if not isinstance(blob, bytes):
        return pl.Series(dtype=pl.Int64)
    hashes = pl.Array(pl.Int64, len(blob) // 8)
    return pl.Series([blob]).bin.reinterpret(dtype=hashes, endianness="big").explode()


def _count_changes(cursor: Cursor, roster: RosterTable) -> tuple[int, int]:
    cursor.execute(roster.statement("count_changes"))
    row = cursor.fetchone()
    match row:
        case (int(added), int(updated)):
            return added, updated
    raise TypeError(row)
