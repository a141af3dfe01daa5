# SPDX-License-Identifier: Apache-2.0
"""The first lines of a text: where the headings are, and where the rows begin.

The heading row is never left to a library: Polars renames duplicates and knows nothing
of invisible characters.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nightdrop.core.formats.limits import Limits
from nightdrop.intake.records import BadRecord, RowFault, read_record

#: The heading row must end within so many bytes.
_HEAD_BYTES: Final = 1024 * 1024
_LINE_END = re.compile(rb"\r\n|\r|\n")

#: Separators that are not the comma, and what people call them.
_DELIMITERS: Final = {";": "semicolon", "\t": "tab", "|": "vertical bar"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadingRow:
    """The cells of the heading row.

    `start` is the byte where the rows begin and `first_line` the line they begin on;
    `line` is the heading's own. `fault` says why the row is no record; there are no
    cells then. `delimiter` names the separator that was used in place of the comma.
    """

    cells: tuple[str, ...]
    line: int
    start: int
    first_line: int
    fault: RowFault | None = None
    delimiter: str | None = None


def read_heading_row(path: Path, *, offset: int, limits: Limits) -> HeadingRow | None:
    """Read the first record of a UTF-8 text, behind any empty lines.

    Returns: None when the text has nothing but empty lines.
    """
    with path.open("rb") as file:
        file.seek(offset)
        head = file.read(_HEAD_BYTES)
    text = _LINE_END.sub(b"\n", head).decode(errors="replace")
    begin = len(text) - len(text.lstrip("\n"))
    if begin == len(text):
        return None
    record = read_record(text, begin)
    if isinstance(record, BadRecord):
        cells: tuple[str, ...] = ()
        end = text.find("\n", begin) + 1 or len(text)
        fault: RowFault | None = record.fault
    else:
        cells, end, fault = record.cells[: limits.columns + 1], record.end, None
    lines = text.count("\n", 0, end)
    start = offset + _after_lines(head, lines) if lines else offset + len(head)
    return HeadingRow(
        cells=cells,
        line=begin + 1,
        start=start,
        first_line=lines + 1,
        fault=fault,
        delimiter=_other_delimiter(text[begin:end], len(cells)),
    )


def _after_lines(head: bytes, lines: int) -> int:
    """Return where the line after the first `lines` lines begins."""
    position = 0
    for _ in range(lines):
        match = _LINE_END.search(head, position)
        position = match.end() if match else len(head)
    return position


def _other_delimiter(heading: str, cells: int) -> str | None:
    """Recognise a separator that would make more cells than the comma does."""
    counts = {name: heading.count(sign) for sign, name in _DELIMITERS.items()}
    most = max(counts, key=lambda name: counts[name])
    return most if counts[most] > max(cells - 1, 0) else None
