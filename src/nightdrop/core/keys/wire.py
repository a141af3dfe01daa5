# SPDX-License-Identifier: Apache-2.0
"""The data types of SSH's binary formats, as far as keys use them.

Formats: string = uint32 length, then that many bytes;
         mpint  = string holding a two's complement number, most significant byte
                  first, as short as can be (zero is the empty string).
Source:  RFC 4251, section 5.
"""

from collections.abc import Callable

from nightdrop.core.keys.errors import NumberNotCanonical, TrailingBytes, Truncated

_LENGTH_BYTES = 4
_SIGN_BIT = 0x80


class WireReader:
    """Reads fields one after another.

    `locate` turns an index into `data` into the offset that a refusal names; the
    index itself where nothing else is given.
    """

    def __init__(self, data: bytes, *, locate: Callable[[int], int] = lambda index: index) -> None:
        self._data = data
        self._locate = locate
        self._position = 0
        self._field_start = 0

    @property
    def field_offset(self) -> int:
        """The offset at which the content of the field that was read last begins."""
        return self._locate(self._field_start)

    def string(self, field: str) -> bytes:
        """Read a string. Raises Truncated, naming `field`."""
        length = int.from_bytes(self._take(_LENGTH_BYTES, field))
        self._field_start = self._position
        return self._take(length, field)

    def mpint(self, field: str) -> int:
        """Read a number that may not be negative.

        Raises:  Truncated; NumberNotCanonical for a negative number or a needless zero
                 byte: two spellings of one key would have two fingerprints.
        """
        content = self.string(field)
        has_needless_zero = content[:1] == b"\0" and not (content[1:2] and content[1] & _SIGN_BIT)
        if has_needless_zero or (content and content[0] & _SIGN_BIT):
            raise NumberNotCanonical(offset=self.field_offset, field=field)
        return int.from_bytes(content)

    def finish(self) -> None:
        """Raise TrailingBytes unless all was read."""
        count = len(self._data) - self._position
        if count:
            raise TrailingBytes(offset=self._locate(self._position), count=count)

    def _take(self, count: int, field: str) -> bytes:
        available = len(self._data) - self._position
        if count > available:
            raise Truncated(
                offset=self._locate(len(self._data)),
                field=field,
                missing_bytes=count - available,
            )
        start = self._position
        self._position += count
        return self._data[start : self._position]


def write_string(content: bytes) -> bytes:
    """Return `content` with its length before it."""
    return len(content).to_bytes(_LENGTH_BYTES) + content


def write_mpint(number: int) -> bytes:
    """Return a number that is not negative, in its one canonical spelling."""
    return write_string(number.to_bytes(number.bit_length() // 8 + 1) if number else b"")


def least_size_of_strings(data: bytes, *, count: int) -> int:
    """Return how many bytes `count` strings have at least, of which `data` is the start.

    Returns: their size, where `data` holds all of their lengths; otherwise the size up
             to and with the first length that it does not hold.
    """
    position = 0
    for _ in range(count):
        content_start = position + _LENGTH_BYTES
        if len(data) < content_start:
            return content_start
        position = content_start + int.from_bytes(data[position:content_start])
    return position
