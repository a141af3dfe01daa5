# SPDX-License-Identifier: Apache-2.0
"""What a file is, before anybody reads a row of it: bytes, checksum, kind, encoding.

The encoding is decided for the file as a whole, never row by row:

1. A byte order mark of UTF-8 or UTF-16 decides. UTF-32 is not read.
2. Otherwise, what can be UTF-8 is UTF-8.
3. Otherwise the bytes above 7F are counted: those in well-formed UTF-8 sequences, and
   the stray ones. Text in Windows-1252 forms such a sequence only by chance (a capital
   accented letter and then a sign), so when there is one sequence for twenty strays or
   more, the file is UTF-8 with damaged rows. Read as Windows-1252 it would load names
   like "JosÃ©". Only the damaged rows are left out, under the usual limit for faulty rows.
4. Otherwise it is Windows-1252.
"""

import codecs
import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

_CHUNK: Final = 1 << 20
_SEQUENCES_PER_STRAY: Final = 20
_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_ABOVE_ASCII = re.compile(rb"[\x80-\xff]")

_BEGINNINGS: Final = (
    (b"PK\x03\x04", "a zip archive or a workbook"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"%PDF-", "a PDF document"),
)
#: How much of the beginning is looked at for a kind.
_BEGINNING: Final = 1024


class Encoding(StrEnum):
    """How the bytes of a file are characters; the values are Python's codec names."""

    UTF_8 = "utf-8"
    UTF_16_LE = "utf-16-le"
    UTF_16_BE = "utf-16-be"
    WINDOWS_1252 = "cp1252"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sniffed:
    """What is known of a file before its rows.

    `seems` says, for people, what a file is that is no CSV. `encoding` is None when no
    encoding fits. `bom_bytes` is the length of the byte order mark. `is_valid` is False
    when some bytes may not be decoded; the rows that hold them are faulty.
    """

    size_bytes: int
    sha256: str
    seems: str | None
    encoding: Encoding | None
    bom_bytes: int
    is_valid: bool

    @property
    def is_utf_8(self) -> bool:
        """True when the file can be read as it is."""
        return self.encoding is Encoding.UTF_8 and self.is_valid

    @property
    def is_8_bit(self) -> bool:
        """True when the file's ASCII characters are one byte each."""
        return self.encoding in (Encoding.UTF_8, Encoding.WINDOWS_1252)


def sniff(path: Path) -> Sniffed:
    """Read a file once, in small pieces, and say what it is.

    Raises: OSError when the file cannot be read.
    """
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf_8 = True
    size_bytes = 0
    beginning = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size_bytes += len(chunk)
            beginning = beginning or chunk[:_BEGINNING]
            is_utf_8 = is_utf_8 and _goes_on(decoder, chunk)
    is_utf_8 = is_utf_8 and _goes_on(decoder, b"", final=True)
    encoding, bom_bytes, is_valid = _encoding_of(path, beginning, is_utf_8=is_utf_8)
    return Sniffed(
        size_bytes=size_bytes,
        sha256=digest.hexdigest(),
        seems=_seems(beginning[bom_bytes:]),
        encoding=encoding,
        bom_bytes=bom_bytes,
        is_valid=is_valid,
    )


def _goes_on(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    is_between_characters = decoder.getstate()[0] == b""
    if chunk.isascii() and is_between_characters:
        return True
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True


def _encoding_of(
    path: Path, beginning: bytes, *, is_utf_8: bool
) -> tuple[Encoding | None, int, bool]:
    if beginning.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return None, 0, False
    for mark, encoding in (
        (codecs.BOM_UTF16_LE, Encoding.UTF_16_LE),
        (codecs.BOM_UTF16_BE, Encoding.UTF_16_BE),
    ):
        if beginning.startswith(mark):
            return encoding, len(mark), False
    if _is_half_nul(beginning):
        return None, 0, False
    bom_bytes = len(codecs.BOM_UTF8) if beginning.startswith(codecs.BOM_UTF8) else 0
    if is_utf_8:
        return Encoding.UTF_8, bom_bytes, True
    if bom_bytes or _is_mostly_utf_8(path):
        return Encoding.UTF_8, bom_bytes, False
    return Encoding.WINDOWS_1252, 0, False


def _is_half_nul(beginning: bytes) -> bool:
    """Recognise UTF-16 and UTF-32 without a mark: every other byte of plain text is 0."""
    return beginning.count(0) * 3 > len(beginning)


def _is_mostly_utf_8(path: Path) -> bool:
    """Weigh sequences against strays; a character cut by the end of a chunk does not matter."""
    sequences = strays = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            rest, found = _SEQUENCE.subn(b"", chunk)
            sequences += found
            strays += len(_ABOVE_ASCII.findall(rest))
    return sequences * _SEQUENCES_PER_STRAY >= strays


def _seems(beginning: bytes) -> str | None:
    for magic, name in _BEGINNINGS:
        if beginning.startswith(magic):
            return name
    start = beginning.replace(b"\0", b"").lstrip()[:200].lower()
    if start.startswith(b"<"):
        return "a web page (HTML)" if b"html" in start else "an HTML or XML page"
    return None
