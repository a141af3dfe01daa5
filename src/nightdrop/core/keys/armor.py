# SPDX-License-Identifier: Apache-2.0
"""Base64 as keys travel in it: decoded strictly, each byte traced back to its text."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nightdrop.core.keys.errors import Base64Damaged
from nightdrop.core.keys.paste import Paste

ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

_BITS_PER_CHARACTER = 6
_BITS_PER_BYTE = 8
_CHARACTERS_PER_GROUP = 4


@dataclass(frozen=True, slots=True)
class Armored:
    """Bytes that were read from base64.

    `indices` holds the place in `paste.text` of each base64 character that counts.
    `loose_end` is the place of a last character whose bits belong to no byte; it is a
    fault, unless the bytes turn out to be cut short, which says more.
    """

    data: bytes
    paste: Paste
    indices: tuple[int, ...]
    loose_end: int | None

    def offset(self, byte_index: int) -> int:
        """Return where the byte at `byte_index` begins in what was given."""
        position = byte_index * _BITS_PER_BYTE // _BITS_PER_CHARACTER
        if position < len(self.indices):
            return self.paste.offset(self.indices[position])
        behind = self.indices[-1] + 1 if self.indices else len(self.paste.text)
        return self.paste.offset(behind)

    def require_no_loose_end(self) -> None:
        """Raise Base64Damaged when bits are left over."""
        if self.loose_end is not None:
            raise Base64Damaged(offset=self.paste.offset(self.loose_end))


def read_armor(paste: Paste, *, indices: Sequence[int]) -> Armored:
    """Decode the base64 characters of `paste` at `indices`.

    Shape:   the standard alphabet, then at most two ``=``. Padding may be missing (a
             double click does not select it), but not wrong.
    Raises:  Base64Damaged at the first character that does not belong.
    Source:  RFC 4648, section 4; and 3.5 for the bits that must be zero.
    """
    text = paste.text
    body = list(indices)
    while body and text[body[-1]] == "=":
        body.pop()
    for index in body:
        if text[index] not in ALPHABET:
            raise Base64Damaged(offset=paste.offset(index))
    padding = indices[len(body) :]
    lacking = -len(body) % _CHARACTERS_PER_GROUP
    if len(padding) > lacking or lacking > len(padding) > 0:
        raise Base64Damaged(offset=paste.offset(padding[0]))

    characters = "".join(text[index] for index in body)
    data = decode_start(characters)
    used = base64.b64encode(data).decode().rstrip("=")
    return Armored(
        data=data,
        paste=paste,
        indices=tuple(body),
        loose_end=None if used == characters else body[-1],
    )


def decode_start(characters: str) -> bytes:
    """Decode base64 that may be cut off anywhere, as far as it makes whole bytes.

    `characters` are of the alphabet alone, without padding.
    """
    # Filling up with A (zero bits) makes any length decodable.
    filled = base64.b64decode(characters + "A" * (-len(characters) % _CHARACTERS_PER_GROUP))
    return filled[: len(characters) * _BITS_PER_CHARACTER // _BITS_PER_BYTE]


def size_in_base64(size_bytes: int) -> int:
    """Return how many characters `size_bytes` take, without padding."""
    return -(-size_bytes * _BITS_PER_BYTE // _BITS_PER_CHARACTER)


def filled_indices(paste: Paste, *, start: int, end: int) -> list[int]:
    """Return the places between `start` and `end` that are not blank."""
    return [match.start() + start for match in re.finditer(r"\S", paste.text[start:end])]
