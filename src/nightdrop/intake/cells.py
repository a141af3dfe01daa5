# SPDX-License-Identifier: Apache-2.0
"""The rules for cells, applied to whole columns.

`core.formats.values.canonical` decides what a cell may be. Here it is asked once for each
different text of a column, and not at all for a text that an expression shows to be its
own canonical form; so the two cannot disagree, and a clean column costs no Python.
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


class CellReader:
    """Reads the cells of one file, block by block."""

    def __init__(self, columns: Sequence[Column], *, today: date) -> None:
        self._columns = tuple(columns)
        self._today = today
        self._answers: dict[str, dict[str, str | Fault]] = {
            column.name: {} for column in columns
        }
        self._unsettled = tuple(
            (~(_is_settled(column) | _is_empty_and_may_be(column))).alias(column.name)
            for column in columns
        )

    def read(self, raw: pl.DataFrame, *, is_ascii: bool) -> ReadCells:
        """Bring a block of raw cells into canonical form.

        Shape: `raw` has a String column for each column, by name, without nulls.
        """
        frame = raw.select(pl.all().str.strip_chars(BLANKS))
        trimmed = _trimmed(raw, frame)
        if not is_ascii:
            frame = _composed(frame)
        faults: list[CellFaults] = []
        unsettled = frame.select(self._unsettled)
        some = unsettled.select(pl.all().any()).row(0)
        changed = []
        for column, is_some in zip(self._columns, some, strict=True):
            if is_some:
                texts = frame[column.name]
                found = self._answer(column, texts, unsettled[column.name])
                faults += found
                changed.append(self._replaced(column, texts))
        frame = frame.with_columns(changed)
        frame = frame.select(pl.when(pl.all() != "").then(pl.all()))
        return ReadCells(frame=frame, faults=tuple(faults), trimmed=trimmed)

    def _answer(
        self, column: Column, texts: pl.Series, is_unsettled: pl.Series
    ) -> list[CellFaults]:
        """Ask for the unsettled texts; return the faults."""
        answers = self._answers[column.name]
        if len(answers) > _REMEMBERED:
            answers.clear()
        codes: dict[str, list[str]] = {}
        for text in texts.filter(is_unsettled).unique().to_list():
            answer = answers.get(text)
            if answer is None:
                answer = answers[text] = canonical(column, text, today=self._today)
            if isinstance(answer, Fault):
                codes.setdefault(answer.code, []).append(text)
        faults = []
        for code, wrong in codes.items():
            rows = texts.is_in(pl.Series(wrong, dtype=pl.String).implode()).arg_true()
            faults.append(CellFaults(column, code, rows, texts.gather(rows)))
        return faults

    def _replaced(self, column: Column, texts: pl.Series) -> pl.Series:
        pairs = {
            text: answer
            for text, answer in self._answers[column.name].items()
            if isinstance(answer, str) and answer != text
        }
        if not pairs:
            return texts
        return texts.replace(
            pl.Series(pairs.keys(), dtype=pl.String), pl.Series(pairs.values(), dtype=pl.String)
        )


def _is_empty_and_may_be(column: Column) -> pl.Expr:
    text = pl.col(column.name)
    return _never(text) if column.required else text == ""


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
    """False for each row; a literal would be one row only when it stands alone."""
    return text.is_null()


def _trimmed(raw: pl.DataFrame, frame: pl.DataFrame) -> dict[str, pl.Series]:
    lengths = pl.all().str.len_bytes().sum()
    before, after = raw.select(lengths).row(0), frame.select(lengths).row(0)
    return {
        name: (raw[name].str.len_bytes() != frame[name].str.len_bytes()).arg_true()
        for name, long, short in zip(frame.columns, before, after, strict=True)
        if long != short
    }


def _composed(frame: pl.DataFrame) -> pl.DataFrame:
    """Make the characters NFC; only texts beyond ASCII can be anything else."""
    beyond = frame.select(
        (pl.all().str.len_bytes() != pl.all().str.len_chars()).any()
    ).row(0, named=True)
    changed = []
    for name in (name for name, is_beyond in beyond.items() if is_beyond):
        texts = frame[name]
        different = texts.filter(texts.str.len_bytes() != texts.str.len_chars()).unique()
        pairs = {
            text: unicodedata.normalize("NFC", text)
            for text in different.to_list()
            if not unicodedata.is_normalized("NFC", text)
        }
        if pairs:
            changed.append(texts.replace(list(pairs.keys()), list(pairs.values())))
    return frame.with_columns(changed)
