# SPDX-License-Identifier: Apache-2.0
"""Guardians who are on the roster and whom the file no longer lists.

A guardian is deleted only if the file speaks for the student: the student is loaded by
this delivery, no guardian row of the student was faulty, and nothing in the file makes
all of its omissions doubtful (`CheckedFile.may_delete`). Who merely comes under another
key, with a Guardian Id or without it, is no departure but an update.
"""

import polars as pl
from psycopg import sql

from nightdrop.intake.checked import CheckedFile
from nightdrop.intake.hashing import hash_keys
from nightdrop.intake.roster_table import RosterTable
from nightdrop.intake.staging import Cursor, analyze, copy_integers

_HASHES = sql.Identifier("pg_temp", "departing_hash")
_DEPARTING = sql.Identifier("pg_temp", "departing_guardian")


def find_departures(
    cursor: Cursor,
    roster: RosterTable,
    *,
    checked: CheckedFile,
    students: CheckedFile | None,
    missing: pl.Series,
) -> int:
    """Find whom to delete, and mark staged rows that a guardian on the roster continues.

    Shape:   `missing`: row hashes of the roster that the file does not have, Int64.
    Returns: how many are to be deleted; they are in `departing_guardian` until the
             transaction ends.
    """
    for name, table in (("departing_hashes_stage", _HASHES), ("departing_stage", _DEPARTING)):
        cursor.execute(roster.statement(name))
        cursor.execute(sql.SQL("DELETE FROM {}").format(table))
    copy_integers(cursor, _HASHES, missing)
    analyze(cursor, _HASHES, rows=len(missing))
    left = _run(cursor, roster, "departing_find")
    if left == 0:
        return 0
    analyze(cursor, _DEPARTING, rows=left)
    cursor.execute(roster.statement("departing_rename"))
    left -= _run(cursor, roster, "departing_known")
    cursor.execute(roster.statement("departing_students"))
    ids = [str(row[0]) for row in cursor.fetchall()]
    answered = _answered_for(ids, checked=checked, students=students)
    return left - _run(cursor, roster, "departing_spare", students=answered)


def _run(cursor: Cursor, roster: RosterTable, name: str, **values: object) -> int:
    """Run a statement of `sql/` and return how many rows it touched."""
    # Not prepared: a plan for any list of students guesses ten of them.
    return cursor.execute(roster.statement(name), values, prepare=False).rowcount


def _answered_for(
    ids: list[str], *, checked: CheckedFile, students: CheckedFile | None
) -> list[str]:
    """Choose those of the student ids whose missing guardians the file tells to delete."""
    if students is None or not checked.may_delete:
        return []
    loaded = students.index.filter("is_loadable")["key_hash"]
    mentioned = pl.DataFrame({"student_id": ids}, schema={"student_id": pl.String})
    hashes = hash_keys(mentioned)
    is_answered = hashes.is_in(loaded.implode()) & ~hashes.is_in(checked.faulty_parents.implode())
    return mentioned["student_id"].filter(is_answered).to_list()
