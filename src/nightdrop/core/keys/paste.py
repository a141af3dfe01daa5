# SPDX-License-Identifier: Apache-2.0
"""Text as it arrives from a mail program or a clipboard, and its repair.

Repaired here, whatever the format of the key: the encoding (UTF-8, UTF-16 as Windows
PowerShell writes it, else Windows-1252), line ends, quotes and dashes that a word
processor made pretty, blanks that are no spaces, invisible characters, and the ``>``
of a quoted mail. Wrapped base64 is joined where it is read, in `armor` and `openssh`,
because only the key itself says where it ends.

Each character keeps the offset of the byte that it came from, so that a refusal can
point into the file that somebody actually has.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_QUOTES = dict.fromkeys("\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}", '"')
_QUOTES |= dict.fromkeys("\N{DOUBLE LOW-9 QUOTATION MARK}\N{DOUBLE PRIME}", '"')
_QUOTES |= dict.fromkeys(
    "\N{DOUBLE HIGH-REVERSED-9 QUOTATION MARK}\N{FULLWIDTH QUOTATION MARK}", '"'
)
_QUOTES |= dict.fromkeys("\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}", "'")
_DASHES = dict.fromkeys("\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{MINUS SIGN}", "-")
_DASHES |= dict.fromkeys("\N{EN DASH}\N{EM DASH}\N{HORIZONTAL BAR}", "-")
_LINE_ENDS = dict.fromkeys("\r\x0b\x0c\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}", "\n")
_REPLACED = _QUOTES | _DASHES | _LINE_ENDS

_KEPT_CONTROLS = "\n\t"
_MAIL_QUOTE = re.compile(r"^[ \t]*(?:(?:>|&gt;)[ \t]*)+", re.MULTILINE)

#: In UTF-16 without a byte order mark, ASCII text has a zero in every pair of bytes.
_ZEROS_IN_UTF_16 = 0.3


@dataclass(frozen=True, slots=True)
class Paste:
    """Repaired text that remembers where each character came from.

    Shape:   `origins` has one byte offset for each character of `text`, and one more
             for its end.
    """

    text: str
    origins: tuple[int, ...]

    def offset(self, index: int) -> int:
        """Return the byte offset of the character at `index`, or of the end."""
        return self.origins[min(index, len(self.text))]


def mend_paste(data: bytes) -> Paste:
    """Repair what mail programs, word processors and terminals do to a key.

    Returns: text whose lines end in a line feed, with ASCII quotes, dashes and blanks;
             other characters of a comment are kept.
    """
    encoding = _encoding(data)
    characters = list(_mended(_characters(data, encoding=encoding)))
    text = "".join(character for character, _ in characters)
    quotes = [match.span() for match in _MAIL_QUOTE.finditer(text)]
    if quotes:
        characters = list(_without(characters, spans=quotes))
        text = "".join(character for character, _ in characters)
    return Paste(text=text, origins=(*(origin for _, origin in characters), len(data)))


def _encoding(data: bytes) -> str:
    if data.startswith(b"\xff\xfe"):
        return "utf-16-le"
    if data.startswith(b"\xfe\xff"):
        return "utf-16-be"
    if data.count(b"\0") > len(data) * _ZEROS_IN_UTF_16:
        return "utf-16-be" if data.startswith(b"\0") else "utf-16-le"
    try:
        data.decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _characters(data: bytes, *, encoding: str) -> Iterator[tuple[str, int]]:
    offset = 0
    for character in data.decode(encoding, "replace"):
        yield character, offset
        # A replaced byte of Windows-1252 is one byte long, whatever replaced it.
        offset += 1 if encoding == "cp1252" else len(character.encode(encoding))


def _mended(characters: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    previous = ""
    for character, origin in characters:
        is_second_half = character == "\n" and previous == "\r"
        previous = character
        if is_second_half:
            continue
        if " " <= character <= "~":
            # Nearly all of any key; the tables below are for the rest.
            yield character, origin
            continue
        mended = _REPLACED.get(character, character)
        category = unicodedata.category(mended)
        if category == "Zs":
            yield " ", origin
        elif category not in {"Cc", "Cf"} or mended in _KEPT_CONTROLS:
            yield mended, origin


def _without(
    characters: list[tuple[str, int]], *, spans: list[tuple[int, int]]
) -> Iterator[tuple[str, int]]:
    position = 0
    for start, end in spans:
        yield from characters[position:start]
        position = end
    yield from characters[position:]
