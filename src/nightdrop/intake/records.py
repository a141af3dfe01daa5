# SPDX-License-Identifier: Apache-2.0
r"""The grammar of one record: RFC 4180 with no kindness.

::

    record = cell *("," cell) line-end
    cell   = quoted / plain
    quoted = '"' *(any character but '"' / '""') '"'
    plain  = *(any character but '"', "," and line end)

Line ends are LF here; `blocks` sees to that. `sound_line_pattern` is the same
grammar as a regular expression for whole columns of lines, and a test holds the two
together. Nothing is repaired: what is not a record is a `BadRecord` that says why.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

#: Stands for bytes that could not be decoded. A Unicode noncharacter: no honest text has
#: it, because it is reserved for use inside a program.
DAMAGE = "\ufdd0"

_QUOTED = re.compile(r'"[^"]*+(?:""[^"]*+)*+"')
_PLAIN = re.compile(r'[^",\n]*+')


class RowFault(StrEnum):
    """Why a line is no row; the values are codes of the catalogue of findings."""

    TOO_SHORT = "row-too-short"
    TOO_LONG = "row-too-long"
    UNCLOSED_QUOTE = "unclosed-quote"
    TEXT_AFTER_QUOTE = "text-after-quote"
    STRAY_QUOTE = "stray-quote"
    NUL = "nul-byte"
    BAD_BYTES = "bad-bytes"


@dataclass(frozen=True, slots=True)
class Record:
    """A sound record; `end` is where the next one begins."""

    cells: tuple[str, ...]
    end: int


@dataclass(frozen=True, slots=True)
class BadRecord:
    """No record begins here; the caller decides where to go on."""

    fault: RowFault


def read_record(text: str, start: int = 0) -> Record | BadRecord:
    """Read the record that begins at `start`, over as many lines as its quotes ask for."""
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    if text.find('"', start, end) < 0:
        return Record(tuple(text[start:end].split(",")), min(end + 1, len(text)))
    cells: list[str] = []
    position = start
    while True:
        if text.startswith('"', position):
            match = _QUOTED.match(text, position)
            if match is None:
                return BadRecord(RowFault.UNCLOSED_QUOTE)
            cell = match[0][1:-1].replace('""', '"')
            fault = RowFault.TEXT_AFTER_QUOTE
        else:
            match = _PLAIN.match(text, position)
            cell = match[0] if match else ""
            fault = RowFault.STRAY_QUOTE
        cells.append(cell)
        position = match.end() if match else position
        following = text[position : position + 1]
        if following in ("", "\n"):
            return Record(tuple(cells), position + len(following))
        if following != ",":
            return BadRecord(fault)
        position += 1


def read_row(text: str, start: int = 0, *, width: int) -> Record | BadRecord:
    """Read a record that must have `width` cells and neither NUL nor damaged bytes in it."""
    record = read_record(text, start)
    if isinstance(record, BadRecord):
        end = text.find("\n", start)
        return _damage(text, start, len(text) if end < 0 else end) or record
    damage = _damage(text, start, record.end)
    if damage is not None:
        return damage
    if len(record.cells) != width:
        is_short = len(record.cells) < width
        return BadRecord(RowFault.TOO_SHORT if is_short else RowFault.TOO_LONG)
    return record


def sound_line_pattern(width: int) -> str:
    """Return the pattern of a line that is a row of `width` cells all by itself.

    Shape: for Rust's `regex` and Python's `re` alike, without anchors and line end.
    """
    cell = r'(?:[^",\r\n]*|"(?:[^"\r\n]|"")*")'
    return rf"(?:{cell},){{{width - 1}}}{cell}"


def _damage(text: str, start: int, end: int) -> BadRecord | None:
    if text.find("\0", start, end) >= 0:
        return BadRecord(RowFault.NUL)
    if text.find(DAMAGE, start, end) >= 0:
        return BadRecord(RowFault.BAD_BYTES)
    return None
