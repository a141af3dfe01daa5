# SPDX-License-Identifier: Apache-2.0
"""Cutting a text into blocks of whole rows, so that memory does not grow with the file.

A block ends behind a line that is a row all by itself: no quote can be open there,
whatever happened before. Only where no such line is near does the rule of RFC 4180
decide: behind a line up to which the number of quotes is even.

Line numbers are those of an editor: LF, CRLF and a lone CR each end a line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from nightdrop.intake.records import Record, read_row

#: Large enough that Polars is busy, small enough that a few copies of it are no burden:
#: twice as much is no faster and takes half as much memory again.
BLOCK_BYTES: Final = 8 * 1024 * 1024
#: How far back from its end a block is searched for a line that is a row by itself.
_NEAR_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block is: byte `offset` and `size` in the text, and the line it begins on."""

    offset: int
    size: int
    first_line: int


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines: each is ended, by LF or CRLF, even if the text's last one is not.

    `is_ended` is False for the last block of a text that ends without a line end.
    """

    place: Place
    data: bytes
    line_count: int
    is_ended: bool


class LineTooLong(Exception):
    """No line end in a whole block; `line` is where it begins."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def cut_blocks(
    file: BinaryIO, *, offset: int, first_line: int, width: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[Block]:
    """Cut what follows `offset` into blocks of at most `block_bytes`.

    Raises: LineTooLong when a line is as long as a block.
    """
    while True:
        file.seek(offset)
        buffer = file.read(block_bytes)
        if not buffer:
            return
        is_last = len(buffer) < block_bytes
        size = len(buffer) if is_last else _find_cut(buffer, width)
        if size == 0:
            raise LineTooLong(first_line)
        block = _block(Place(offset, size, first_line), buffer[:size])
        yield block
        offset += size
        first_line += block.line_count


def read_block(file: BinaryIO, place: Place) -> Block:
    """Read a block again, exactly as `cut_blocks` gave it."""
    file.seek(place.offset)
    return _block(place, file.read(place.size))


def _block(place: Place, data: bytes) -> Block:
    data = _normalised(data)
    is_ended = data.endswith(b"\n")
    data = data if is_ended else data + b"\n"
    return Block(place, data, data.count(b"\n"), is_ended)


def _normalised(data: bytes) -> bytes:
    """Make every line end LF when there is a lone CR; CRLF alone does not matter to anybody."""
    returns = data.count(b"\r")
    if not returns or returns == data.count(b"\r\n"):
        return data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _find_cut(buffer: bytes, width: int) -> int:
    """Return how much of `buffer` is a block; 0 when it has no line end."""
    end_of_line = b"\n" if b"\n" in buffer else b"\r"
    # A CR at the very end may be half of a CRLF, so the last byte is never looked at.
    last = buffer.rfind(end_of_line, 0, len(buffer) - 1) + 1
    end = last
    while end > max(0, last - _NEAR_BYTES):
        start = buffer.rfind(end_of_line, 0, end - 1) + 1
        if _is_row(buffer[start:end], width):
            return end
        end = start
    return _even_quotes(buffer, last, end_of_line)


def _is_row(line: bytes, width: int) -> bool:
    text = line.replace(b"\r", b"\n").decode(errors="replace").strip("\n")
    physical = text.rpartition("\n")[2]
    return bool(physical) and isinstance(read_row(physical, width=width), Record)


def _even_quotes(buffer: bytes, last: int, end_of_line: bytes) -> int:
    quotes = buffer.count(b'"', 0, last)
    end = last
    while quotes % 2 and end:
        start = buffer.rfind(end_of_line, 0, end - 1) + 1
        quotes -= buffer.count(b'"', start, end)
        end = start
    return end or last
