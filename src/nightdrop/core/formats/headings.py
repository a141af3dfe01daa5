# SPDX-License-Identifier: Apache-2.0
"""Which column of a table each cell of a heading row is.

A heading matches exactly, or as an alias; else ignoring case, blanks, underscores and a
``TABLE.`` prefix as PowerSchool adds, with a remark. A heading with a character that
nobody can see is never guessed at: it is named, with its code point, and blocks.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nightdrop.core.formats.findings import Finding
from nightdrop.core.formats.spec import Column, Format, Table

#: A name, perhaps with a number in brackets, and a dot: ``STUDENTS.``, ``[1]Students.``.
_PREFIX = re.compile(r"^[\w\[\]]+\.")
_IGNORED = re.compile(r"[\s_]+")

_INVISIBLE = "invisible-character-in-heading"

#: `looks_like` wants so many headings, and this share of a file's, to be known.
_KNOWN_FEWEST = 3
_KNOWN_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class HeadingMatch:
    """What a heading row says.

    `columns` has one entry per cell of the row, None where the cell is not read.
    """

    columns: tuple[Column | None, ...]
    findings: tuple[Finding, ...]


def match_headings(table: Table, cells: Sequence[str], *, file: str, line: int = 1) -> HeadingMatch:
    """Match the cells of the heading row, which stands on `line`, to a table's columns.

    Returns: the match with all its findings. When no cell is a heading at all, that is
             the only finding.
    """
    known = _known_headings(table)
    findings: list[Finding] = []
    found: list[Column | None] = []
    damaged: set[str] = set()
    for position, cell in enumerate(cells, start=1):
        column, remark = _match_cell(known, cell, position, file, line)
        if remark is not None:
            findings.append(remark)
            if remark.code == _INVISIBLE and remark.column is not None:
                damaged.add(remark.column)
        found.append(column)
    if not any(found) and not damaged:
        return HeadingMatch(tuple(found), (Finding.of("no-headings", file=file, line=line),))
    findings += _repeated(found, file, line)
    findings += [
        Finding.of("missing-column", file=file, line=line, column=column.heading)
        for column in table.columns
        if column.required and column not in found and column.heading not in damaged
    ]
    return HeadingMatch(tuple(found), tuple(findings))


def looks_like(cells: Sequence[str], *, formats: Iterable[Format]) -> Table | None:
    """Say which table's headings these are, for a file whose name says nothing.

    Returns: the table with the most matching headings, of those whose key columns are
             all there and that know at least three and half of the headings; else None.
    """
    best: Table | None = None
    most = 0
    for table in (table for format_ in formats for table in format_.tables):
        known = _known_headings(table)
        names = {
            column.name
            for cell in cells
            if (column := known.get(_folded(_visible(cell)))) is not None
        }
        enough = max(_KNOWN_FEWEST, _KNOWN_SHARE * len(cells))
        is_likely = names.issuperset(table.key) and len(names) >= enough
        if is_likely and len(names) > most:
            best, most = table, len(names)
    return best


def _known_headings(table: Table) -> Mapping[str, Column]:
    return {
        _folded(heading): column
        for column in table.columns
        for heading in (column.heading, *column.aliases)
    }


def _match_cell(
    known: Mapping[str, Column], cell: str, position: int, file: str, line: int
) -> tuple[Column | None, Finding | None]:
    visible = _visible(cell)
    column = known.get(_folded(visible)) or known.get(_folded(_PREFIX.sub("", visible)))
    if column is None:
        return None, Finding.of(
            "unknown-column",
            file=file,
            line=line,
            column=cell or "(empty)",
            facts={"position": str(position)},
        )
    if visible != cell:
        return None, Finding.of(
            _INVISIBLE,
            file=file,
            line=line,
            column=column.heading,
            facts={"characters": _code_points(cell)},
        )
    if cell in (column.heading, *column.aliases):
        return column, None
    return column, Finding.of(
        "heading-repaired", file=file, line=line, column=column.heading, facts={"found": cell}
    )


def _repeated(found: Sequence[Column | None], file: str, line: int) -> list[Finding]:
    positions: defaultdict[str, list[str]] = defaultdict(list)
    for position, column in enumerate(found, start=1):
        if column is not None:
            positions[column.heading].append(str(position))
    return [
        Finding.of(
            "duplicate-heading",
            file=file,
            line=line,
            column=heading,
            facts={"positions": " and ".join(places)},
        )
        for heading, places in positions.items()
        if len(places) > 1
    ]


def _folded(heading: str) -> str:
    return _IGNORED.sub("", unicodedata.normalize("NFC", heading)).casefold()


def _visible(heading: str) -> str:
    return "".join(character for character in heading if not _is_hidden(character))


def _is_hidden(character: str) -> bool:
    """Tell characters that look like nothing, or like a blank without being one."""
    if character in " \t\r\n":
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Zs", "Zl", "Zp"}


def _code_points(heading: str) -> str:
    hidden = dict.fromkeys(character for character in heading if _is_hidden(character))
    return ", ".join(
        f"{unicodedata.name(character, 'control character').lower()} (U+{ord(character):04X})"
        for character in hidden
    )
