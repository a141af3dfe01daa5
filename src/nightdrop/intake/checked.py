# SPDX-License-Identifier: Apache-2.0
"""What is known of a delivery's files after the checks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from nightdrop.core.formats.findings import FindingLog
from nightdrop.core.formats.spec import Table
from nightdrop.intake.hashing import hash_rows
from nightdrop.intake.text_rows import TextRows

#: Says which of these student ids are on the district's roster.
RosterLookup = Callable[[Sequence[str]], set[str]]


class Verdict(StrEnum):
    """What the checks say of a delivery as a whole."""

    #: Everything can be loaded.
    CLEAN = "clean"
    #: Some rows are left out.
    FAULTY = "faulty"
    #: Nothing may be loaded.
    BLOCKED = "blocked"
    #: No file has a name that the format knows.
    UNRECOGNISED = "unrecognised"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a delivery: its name as it was uploaded, and where it is now."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What there is to say of any file.

    `table` is the name of the table that the file's name stands for, None when there is
    none. `rows` counts the rows below the headings, faulty ones included; None when the
    file was not read that far.
    """

    name: str
    size_bytes: int
    sha256: str
    rows: int | None = None
    table: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """The checked rows of one table's file.

    `supplied`: the names of the columns that the file has, in the order of the table's
    declaration. `rows`: all data rows. `faulty`: those that a fault keeps out.
    `duplicates`: repetitions of a row that counts once. `index`: one row for each data row
    that could be read as a row, in the file's order, so lines that are no rows are missing:

    ===========  =======  ==================================================================
    row_hash     Int64    over the canonical cells, the supplied columns and a version
    key_hash     Int64    over the key; null when a cell of the key is faulty
    parent_hash  Int64    the parent row's key_hash; null when faulty, or without a parent
    is_loadable  Boolean
    ===========  =======  ==================================================================

    `may_delete`: rows that the file no longer lists may be deleted from the roster; only
    for a table with a parent, False elsewhere. `faulty_parents`: the parent_hash of each
    faulty row that has one, Int64, unique.
    """

    table: Table
    file_name: str
    supplied: tuple[str, ...]
    rows: int
    faulty: int
    duplicates: int
    index: pl.DataFrame
    may_delete: bool
    faulty_parents: pl.Series
    text: TextRows

    def frames(self, wanted: pl.Series) -> Iterator[pl.DataFrame]:
        """Read the wanted rows again.

        Shape:  `wanted` is Boolean, one for each row of `index`. Yields frames with the
                columns `supplied` (String; dates ISO; null for empty) and `row_hash`, each
                sorted by the key.
        Raises: OSError; ValueError when `wanted` has another length.
        """
        if len(wanted) != self.index.height:
            raise ValueError(f"{len(wanted)} marks for {self.index.height} rows")
        columns = [self.table.column(name) for name in self.supplied]
        key = [name for name in self.table.key if name in self.supplied]
        for _, frame in self.text.read_again(wanted, columns=columns):
            hashed = frame.with_columns(row_hash=hash_rows(frame, columns=self.supplied))
            yield hashed.sort(key) if key else hashed


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBundle:
    """The checked files of a delivery; close it when no more rows are read from it."""

    tables: Mapping[str, CheckedFile]
    files: tuple[FileFacts, ...]
    findings: FindingLog
    verdict: Verdict
    scratch: ExitStack

    def close(self) -> None:
        """Remove the scratch files; `frames` of a transcoded file fails from here on."""
        self.scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
