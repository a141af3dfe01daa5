# SPDX-License-Identifier: Apache-2.0
"""The rules for cells, applied to whole columns.

`core.formats.values.canonical` decides what a cell may be, and it alone. Asking it for
each cell would take a minute, so it is asked as late as possible:

1. An expression picks the cells that are plainly their own canonical form: printable
   ASCII without blanks around it that matches the pattern of the rule. In most columns
   of most files, that is all.
2. From the cells that are left, blanks are trimmed and characters composed, by the column.
   Then a second, wider expression picks again.
3. `canonical` is asked once for each different text that is still left.

So the two cannot disagree about a text, unless an expression lets one pass that
`canonical` would change; a property test looks for that.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from nightdrop.core.formats.languages import LANGUAGES
from nightdrop.core.formats.spec import Column, Rule
from nightdrop.core.formats.values import (
    BLANKS,
    CONTROL_PATTERN,
    EMAIL_PATTERN,
    IDENTIFIER_PATTERN,
    PHONE_PATTERN,
    TEXT_LIMIT,
    Fault,
    canonical,
)

#: How many answers of a column are remembered from block to block.
_REMEMBERED: Final = 100_000
#: Printable ASCII, no blank at either end, not empty.
_PLAIN_TEXT: Final = "^[!-~](?:[ -~]*[!-~])?$"
_PLAIN_WORD: Final = "^[!-~]+$"


@dataclass(frozen=True, slots=True)
class CellFaults:
    """The cells of one column with one fault: the rows of the frame, and their texts."""

    column: Column
    code: str
    rows: pl.Series
    texts: pl.Series


@dataclass(frozen=True, slots=True)
class ReadCells:
    """Canonical cells.

    Shape: `frame` has the columns by `Column.name`; null for an empty cell; a faulty cell
           keeps its text without the blanks around it. `trimmed` has, for each column
           that had such blanks, the rows.
    """

    frame: pl.DataFrame
    faults: tuple[CellFaults, ...]
    trimmed: Mapping[str, pl.Series]


@dataclass(frozen=True, slots=True)
class _ReadTexts:
    """Texts of one column: the canonical ones, which were trimmed, where each fault is."""

    texts: pl.Series
    trimmed: pl.Series
    faults: Mapping[str, pl.Series]


class CellReader:
    """Reads the cells of one file, block by block."""

    def __init__(self, columns: Sequence[Column], *, today: date) -> None:
        self._columns = tuple(columns)
        self._today = today
        self._answers: dict[str, dict[str, str | Fault]] = {column.name: {} for column in columns}
        self._is_plain = tuple(
            (_is_plain(column) | _may_be_empty(column)).alias(column.name) for column in columns
        )

    def read(self, raw: pl.DataFrame) -> ReadCells:
        """Bring a block of raw cells into canonical form.

        Shape: `raw` has a String column for each column, by name, without nulls.
        """
        is_plain = raw.select(self._is_plain)
        are_plain = is_plain.select(pl.all().all()).row(0)
        changed: list[pl.Series] = []
        faults: list[CellFaults] = []
        trimmed: dict[str, pl.Series] = {}
        for column, all_plain in zip(self._columns, are_plain, strict=True):
            if all_plain:
                continue
            rows = (~is_plain[column.name]).arg_true()
            texts = raw[column.name].gather(rows)
            read = self._read_texts(column, texts)
            changed.append(_spread(raw[column.name], rows, read.texts))
            faults += (
                CellFaults(column, code, rows.gather(places), read.texts.gather(places))
                for code, places in read.faults.items()
            )
            if read.trimmed.any():
                trimmed[column.name] = rows.filter(read.trimmed)
        frame = raw.with_columns(changed).select(pl.when(pl.all() != "").then(pl.all()))
        return ReadCells(frame=frame, faults=tuple(faults), trimmed=trimmed)

    def _read_texts(self, column: Column, texts: pl.Series) -> _ReadTexts:
        cleaned = texts.str.strip_chars(BLANKS)
        trimmed = texts.str.len_bytes() != cleaned.str.len_bytes()
        cleaned = _composed(cleaned)
        is_settled = _is_settled(column) | _may_be_empty(column)
        unsettled = cleaned.to_frame().filter(~is_settled).to_series().unique()
        codes: dict[str, list[str]] = {}
        pairs: dict[str, str] = {}
        for text, answer in self._ask(column, unsettled.to_list()).items():
            if isinstance(answer, Fault):
                codes.setdefault(answer.code, []).append(text)
            elif answer != text:
                pairs[text] = answer
        faults = {
            code: cleaned.is_in(pl.Series(wrong, dtype=pl.String).implode()).arg_true()
            for code, wrong in codes.items()
        }
        return _ReadTexts(_replaced(cleaned, pairs), trimmed, faults)

    def _ask(self, column: Column, texts: Sequence[str]) -> dict[str, str | Fault]:
        """Return the answer of `canonical` to each text."""
        known = self._answers[column.name]
        if len(known) > _REMEMBERED:
            known.clear()
        for text in texts:
            if text not in known:
                known[text] = canonical(column, text, today=self._today)
        return {text: known[text] for text in texts}


def _spread(texts: pl.Series, rows: pl.Series, values: pl.Series) -> pl.Series:
    """Put `values` at `rows`; a date column is all new, so it need not be put together."""
    if len(rows) == len(texts):
        return values
    return texts.scatter(rows, values)


def _may_be_empty(column: Column) -> pl.Expr:
    text = pl.col(column.name)
    return _never(text) if column.required else text == ""


def _is_plain(column: Column) -> pl.Expr:
    """Say which raw texts are surely their own canonical form, looking at each cell once."""
    text = pl.col(column.name)
    is_short = text.str.len_bytes() <= TEXT_LIMIT
    match column.rule:
        case Rule.TEXT:
            return is_short & text.str.contains(_PLAIN_TEXT)
        case Rule.PHONE:
            return is_short & text.str.contains(_PLAIN_TEXT) & text.str.contains(PHONE_PATTERN)
        case Rule.EMAIL:
            return is_short & text.str.contains(_PLAIN_WORD) & text.str.contains(EMAIL_PATTERN)
        case _:
            # These accept nothing that would have to be trimmed or composed.
            return _is_settled(column)


def _is_settled(column: Column) -> pl.Expr:
    """Say which texts, trimmed and composed, are surely their own canonical form."""
    text = pl.col(column.name)
    is_short = text.str.len_bytes() <= TEXT_LIMIT
    is_clean = ~text.str.contains(CONTROL_PATTERN)
    match column.rule:
        case Rule.TEXT:
            return (text != "") & is_short & is_clean
        case Rule.IDENTIFIER:
            return text.str.contains(IDENTIFIER_PATTERN)
        case Rule.PHONE:
            return is_short & text.str.contains(PHONE_PATTERN)
        case Rule.EMAIL:
            return is_short & is_clean & text.str.contains(EMAIL_PATTERN)
        case Rule.GENDER:
            return text.is_in(["M", "F"])
        case Rule.CHOICE:
            return text.is_in(column.choices)
        case Rule.LANGUAGE:
            return text.is_in(sorted(LANGUAGES))
        case Rule.PAST_DATE:
            # Whether a date is one, and how far back, is not for an expression to say;
            # there are only some ten thousand different ones in any file.
            return _never(text)


def _never(text: pl.Expr) -> pl.Expr:
    """Say no to each row; a literal would be a single row when it stands alone."""
    return text.is_null()


def _composed(texts: pl.Series) -> pl.Series:
    """Make the characters NFC; only texts beyond ASCII can be anything else."""
    beyond = texts.filter(texts.str.len_bytes() != texts.str.len_chars()).unique()
    pairs = {
        text: unicodedata.normalize("NFC", text)
        for text in beyond.to_list()
        if not unicodedata.is_normalized("NFC", text)
    }
    return _replaced(texts, pairs)


def _replaced(texts: pl.Series, pairs: Mapping[str, str]) -> pl.Series:
    if not pairs:
        return texts
    old, new = pl.Series(pairs.keys(), dtype=pl.String), pl.Series(pairs.values(), dtype=pl.String)
    return texts.replace(old, new)
