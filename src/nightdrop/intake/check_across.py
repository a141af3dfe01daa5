# SPDX-License-Identifier: Apache-2.0
"""The checks that need to see more than one row, over whole columns, once.

They are done by hashes of keys; the few rows that something is said about are read again
for their texts. Each check marks rows in `ReadFile.index` and adds to the log.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from nightdrop.core.formats.findings import FindingLog
from nightdrop.core.formats.limits import Limits
from nightdrop.intake.checked import RosterLookup
from nightdrop.intake.read_file import REMARK_LINES, ReadFile

#: How many ids are looked up on the roster at a time.
_LOOKUP_IDS: Final = 10_000


def check_duplicates(file: ReadFile, *, log: FindingLog, limits: Limits) -> None:
    """Find the rows that share a key: equal ones count once, different ones not at all."""
    # Sorting finds repetitions in a third of the memory that a table of all keys takes.
    keys = file.index["key_hash"].drop_nulls().sort()
    repeated_keys = keys.filter(keys == keys.shift(1))
    if repeated_keys.is_empty():
        return
    shares_key = _is_among(file.index["key_hash"], repeated_keys).fill_null(value=False)
    sharing = (
        file.index.with_row_index("row")
        .filter(shares_key)
        .with_columns(
            differs=pl.col("row_hash").n_unique().over("key_hash") > 1,
            is_first=pl.col("row") == pl.col("row").min().over("key_hash"),
        )
    )
    different = sharing.filter("differs")["row"]
    repeated = sharing.filter(~pl.col("differs") & ~pl.col("is_first") & ~pl.col("is_faulty"))
    _mark(file, "is_faulty", different)
    _report_rows(file, "conflicting-rows", different, kept=log.room, log=log)
    _mark(file, "is_left_out", repeated["row"])
    _report_rows(file, "duplicate-rows", repeated["row"], kept=REMARK_LINES, log=log)
    file.duplicates = repeated.height
    if file.duplicates > limits.duplicate_share * file.rows:
        facts = {"duplicates": f"{file.duplicates:,}", "rows": f"{file.rows:,}"}
        log.add("many-duplicates", file=file.file_name, facts=facts)


def check_parents(
    child: ReadFile, parent: ReadFile, *, roster: RosterLookup | None, log: FindingLog
) -> None:
    """Find the rows whose parent is not among the loadable rows of the parent's file.

    Such a row is left out. It is no fault when the roster knows the parent, or when the
    parent's own row is there and faulty: one fault is one finding. Otherwise the parent
    is known nowhere. Without a roster nobody is on it.
    """
    hashes = child.index["parent_hash"]
    keys = parent.index["key_hash"]
    is_loadable = ~(parent.index["is_faulty"] | parent.index["is_left_out"])
    orphans = ~_is_among(hashes, keys.filter(is_loadable)) & hashes.is_not_null()
    if not orphans.any():
        return
    name = child.table.key[0]
    ids = pl.concat(
        pl.DataFrame([rows.alias("row"), frame[name]])
        for rows, frame in child.text.read_again(orphans, columns=[child.table.column(name)])
    )
    known = _looked_up(ids[name].unique().to_list(), roster)
    is_known = ids[name].is_in(pl.Series(known, dtype=pl.String).implode()) | _is_among(
        hashes.gather(ids["row"]), keys
    )
    unknown = ids["row"].filter(~is_known)
    was_sound = ~child.index["is_faulty"].gather(ids["row"])
    unsent = ids["row"].filter(is_known & was_sound)
    child.has_unknown_parent = not unknown.is_empty()
    _mark(child, "is_faulty", unknown)
    _report_rows(child, "unknown-student", unknown, kept=log.room, log=log, only=name)
    _mark(child, "is_left_out", unsent)
    _report_rows(child, "student-not-in-file", unsent, kept=REMARK_LINES, log=log, only=name)


def check_faulty_share(file: ReadFile, *, log: FindingLog, limits: Limits) -> None:
    """Block a file of which too much is faulty, so that a broken export loads nothing."""
    is_much = file.faulty > limits.faulty_share * file.rows and file.faulty > limits.faulty_rows
    if is_much or 0 < file.rows == file.faulty:
        facts = {"faulty": f"{file.faulty:,}", "rows": f"{file.rows:,}"}
        log.add("too-many-faulty-rows", file=file.file_name, facts=facts)


def _is_among(hashes: pl.Series, others: pl.Series) -> pl.Series:
    return hashes.is_in(others.drop_nulls().unique().implode())


def _looked_up(ids: Sequence[str], roster: RosterLookup | None) -> list[str]:
    known: list[str] = []
    for start in range(0, len(ids) if roster else 0, _LOOKUP_IDS):
        known += roster(ids[start : start + _LOOKUP_IDS]) if roster else ()
    return known


def _mark(file: ReadFile, reason: str, rows: pl.Series) -> None:
    file.index = file.index.with_columns(file.index[reason].scatter(rows, values=True))


def _report_rows(
    file: ReadFile,
    code: str,
    rows: pl.Series,
    *,
    kept: int,
    log: FindingLog,
    only: str | None = None,
) -> None:
    """Report rows by their keys, or by `only` this cell of the key."""
    listed = rows.sort().head(max(kept, REMARK_LINES))
    if listed.is_empty():
        return
    wanted = pl.repeat(value=False, n=file.index.height, eager=True).scatter(listed, values=True)
    key: set[str | None] = {*file.table.key, file.table.alternative_key}
    names = {only} if only else key
    columns = [column for column in file.table.columns if column.name in names]
    columns = [column for column in columns if column.name in file.supplied]
    texts: list[str] = []
    for _, frame in file.text.read_again(wanted, columns=columns):
        joined = frame.select(pl.concat_str(pl.all(), separator=", ", ignore_nulls=True))
        texts += joined.to_series().to_list()
    log.add_many(
        code,
        file=file.file_name,
        lines=file.index["line"].gather(listed).to_list(),
        column=None if only is None else file.table.column(only).heading,
        values=texts,
        count=len(rows),
    )
