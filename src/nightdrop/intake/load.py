# SPDX-License-Identifier: Apache-2.0
"""Writing a compared file into the roster, inside the caller's transaction.

The way to load is `for checked in load_order(bundle)`: `compare`, decide, `apply`.
Only images of what was there before are kept, in `change`: an added row carries the
delivery that added it, and what a row became is the next change's before, or the row.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import sql

from nightdrop.intake.checked import CheckedBundle, CheckedFile
from nightdrop.intake.compare import Comparison, compare
from nightdrop.intake.roster_table import RosterTable
from nightdrop.intake.staging import Connection, Cursor, blocks_of, make_stage

__all__ = ["Comparison", "RosterMoved", "TableCounts", "apply", "compare", "load_order"]


class RosterMoved(Exception):
    """Writing changed other rows than the comparison said; the transaction must end.

    Somebody wrote to the roster without its lock. Loading again may succeed.
    """

    def __init__(self, table: str, *, expected: int, found: int) -> None:
        super().__init__(f"{table}: {expected} rows were to be written, {found} were")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCounts:
    """What a load did to one table.

    A row of the file is exactly one of added, updated, unchanged and faulty, or it is a
    duplicate, or a row that is left out with a remark. Deleted rows are in no file.
    """

    added: int
    updated: int
    deleted: int
    unchanged: int
    faulty: int

    def as_json(self) -> dict[str, int]:
        """Return the counts as `delivery show --json` has them."""
        return {
            "added": self.added,
            "updated": self.updated,
            "deleted": self.deleted,
            "unchanged": self.unchanged,
            "faulty": self.faulty,
        }


def load_order(bundle: CheckedBundle) -> tuple[CheckedFile, ...]:
    """Return the files in the order in which they are loaded: parents before children."""
    return tuple(sorted(bundle.tables.values(), key=lambda file: file.table.parent is not None))


def apply(connection: Connection, comparison: Comparison, *, delivery: UUID) -> TableCounts:
    """Write what a comparison found; in the transaction of the comparison.

    1. An empty roster: block by block into the stage, and from there into the roster.
    2. Else keep what will be updated and deleted as it was, then delete, add, update.

    Raises: RosterMoved.
    """
    checked = comparison.checked
    roster = RosterTable(checked.table, checked.supplied)
    with psycopg.Cursor(connection) as cursor:
        if comparison.roster_rows == 0:
            _fill(cursor, roster, comparison, delivery=delivery)
        else:
            _merge(cursor, roster, comparison, delivery=delivery)
    return TableCounts(
        added=comparison.added,
        updated=comparison.updated,
        deleted=comparison.deleted,
        unchanged=comparison.unchanged,
        faulty=checked.faulty,
    )


def _fill(cursor: Cursor, roster: RosterTable, comparison: Comparison, *, delivery: UUID) -> None:
    checked = comparison.checked
    make_stage(cursor, roster)
    insert = roster.statement("insert_all")
    empty = sql.SQL("TRUNCATE {}").format(roster.stage)
    added = 0
    with closing(blocks_of(checked, checked.index["is_loadable"])) as blocks:
        for block in blocks:
            with cursor.copy(roster.copy_statement()) as copy:
                copy.write(block)
            added += cursor.execute(insert, {"delivery": delivery}).rowcount
            cursor.execute(empty)
    _expect(roster, comparison.added, added)


def _merge(cursor: Cursor, roster: RosterTable, comparison: Comparison, *, delivery: UUID) -> None:
    values = {"delivery": delivery, "table": roster.table.name}
    if comparison.deleted:
        _expect(roster, comparison.deleted, _run(cursor, roster, "keep_deleted", values))
        _expect(roster, comparison.deleted, _run(cursor, roster, "delete_departing", values))
    if comparison.updated:
        _expect(roster, comparison.updated, _run(cursor, roster, "keep_updated", values))
    if comparison.added:
        _expect(roster, comparison.added, _run(cursor, roster, "insert_new", values))
    if comparison.staged_rows > comparison.added:
        _run(cursor, roster, "update_known", values)


def _run(cursor: Cursor, roster: RosterTable, name: str, values: Mapping[str, object]) -> int:
    return cursor.execute(roster.statement(name), values).rowcount


def _expect(roster: RosterTable, expected: int, found: int) -> None:
    if found != expected:
        raise RosterMoved(roster.name, expected=expected, found=found)
