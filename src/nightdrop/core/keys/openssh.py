# SPDX-License-Identifier: Apache-2.0
"""The OpenSSH form of a public key: one line of an ``authorized_keys`` file.

Shape:   [options SP] type SP base64 [SP comment]
Source:  sshd(8), "AUTHORIZED_KEYS FILE FORMAT".

Also read: a key whose base64 a mail program broke into several lines, one that stands
in quotes, and one whose first word was lost (the blob names its type again). Text
after a key is no concern of ours; text before it in the same line is, see `options`.
"""

import re
from dataclasses import dataclass
from datetime import tzinfo

from nightdrop.core.keys.armor import Armored, decode_start, read_armor, size_in_base64
from nightdrop.core.keys.blob import (
    DSA_TYPE,
    KEY_TYPES,
    is_type_name,
    least_blob_size,
    read_blob,
    type_in_blob,
)
from nightdrop.core.keys.errors import Base64Damaged, OptionsWithoutKey, TypeMismatch
from nightdrop.core.keys.options import is_start_of_options, read_options
from nightdrop.core.keys.paste import Paste
from nightdrop.core.keys.public import KeyOptions, PublicKey

#: Every blob begins with a length below 256, that is with three zero bytes.
BLOB_START = "AAAA"

_KNOWN_TYPES = frozenset(KEY_TYPES) | {DSA_TYPE}
#: A word this long behind the name of a type is meant to be the key, if a damaged one.
_BLOB_AT_LEAST = 20
#: No blob of an accepted type has more base64 than this (RSA with 16384 bits: 2,800).
_BLOB_AT_MOST = 8192

_LINE_START = re.compile(r"[ \t]*([\"'`]?)")
_WORD = re.compile(r"\S+")
_GAP = re.compile(r"[ \t]*\n?[ \t]*")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_NEXT_BASE64_LINE = re.compile(r"[ \t]*\n\s*([A-Za-z0-9+/]+={0,2})(?=[\s\"'`]|\Z)")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a key is: `named` is the type before it, in lower case, or None."""

    named: str | None
    blob_start: int


def read_line(paste: Paste, start: int, *, zone: tzinfo) -> tuple[PublicKey, int] | None:
    """Read the key in the line that begins at `start`.

    Returns: the key and the index just behind it, comment included; None where the
             line has no key: it is empty, a remark, or prose.
    Raises:  any KeyRefused, for a line that has or should have one.
    """
    line_start = _LINE_START.match(paste.text, start)
    quote = line_start[1] if line_start else ""
    index = line_start.end() if line_start else start
    if paste.text[index : index + 1] == "#":
        return None
    options = KeyOptions()
    place = _find_place(paste, index)
    if place is None:
        if not is_start_of_options(paste.text, index) and not _has_key_later(paste.text, index):
            return None
        options_start = index
        options, index = read_options(paste, index, zone=zone)
        place = _find_place(paste, _skip_gap(paste.text, index))
        if place is None:
            raise OptionsWithoutKey(offset=paste.offset(options_start))
    return _read_from(paste, place, quote=quote, options=options)


def _read_from(
    paste: Paste, place: _Place, *, quote: str, options: KeyOptions
) -> tuple[PublicKey, int]:
    armored, end = _read_body(paste, place.blob_start, quote=quote)
    facts = read_blob(armored.data, locate=armored.offset)
    armored.require_no_loose_end()
    if place.named not in {None, facts.type.value}:
        raise TypeMismatch(offset=armored.offset(0), named=str(place.named), found=facts.type.value)
    line_end = _line_end(paste.text, end)
    comment = paste.text[end:line_end].strip()
    if quote and comment.endswith(quote):
        comment = comment.removesuffix(quote).rstrip()
    key = PublicKey(
        type=facts.type, bits=facts.bits, blob=armored.data, comment=comment, options=options
    )
    return key, line_end


def _find_place(paste: Paste, index: int) -> _Place | None:
    """Say where the key is, if a type or a blob stands at `index`."""
    text = paste.text
    if _is_blob(text, index):
        return _Place(named=None, blob_start=index)
    word = _WORD.match(text, index)
    named = word[0].lower() if word else ""
    blob_start = _skip_gap(text, index + len(named))
    if named in _KNOWN_TYPES:
        return _Place(named=named, blob_start=blob_start) if _is_meant(text, blob_start) else None
    is_same_line = "\n" not in text[index:blob_start]
    if is_type_name(named) and is_same_line and _is_blob(text, blob_start):
        return _Place(named=named, blob_start=blob_start)
    return None


def _is_blob(text: str, index: int) -> bool:
    """Say whether the base64 at `index` begins as a blob of whatever type does."""
    if not text.startswith(BLOB_START, index):
        return False
    return type_in_blob(decode_start(_base64_at(text, index).rstrip("="))) is not None


def _is_meant(text: str, index: int) -> bool:
    """Say whether the word at `index`, behind a known type, is meant to be a key."""
    word = _WORD.match(text, index)
    blob = word[0] if word else ""
    is_cut_off = BLOB_START.startswith(blob) and index + len(blob) == len(text)
    return is_cut_off or blob.startswith(BLOB_START) or len(blob) >= _BLOB_AT_LEAST


def _has_key_later(text: str, index: int) -> bool:
    """Say whether a key begins in the line, behind what stands at `index`."""
    return any(
        _is_blob(text, word.start())
        or (
            word[0].lower() in _KNOWN_TYPES
            and text.startswith(BLOB_START, _skip_gap(text, word.end()))
        )
        for word in _WORD.finditer(text, index, _line_end(text, index))
    )


def _read_body(paste: Paste, start: int, *, quote: str) -> tuple[Armored, int]:
    """Read the base64 at `start` and as many further lines of it as the key needs.

    Its fields announce their lengths, so the key says itself where it ends. Another
    line is taken only while characters are missing, and when it brings no more than
    those: prose below a key that was cut short is not mistaken for its rest.
    """
    text = paste.text
    characters = _base64_at(text, start)
    end = start + len(characters)
    indices = list(range(start, end))
    while _missing_characters(characters) > 0 and len(characters) < _BLOB_AT_MOST:
        # Padding ends a key, whatever its fields announce.
        more = None if characters.endswith("=") else _NEXT_BASE64_LINE.match(text, end)
        if more is None or _missing_characters(characters + more[1]) < 0:
            break
        characters += more[1]
        end = more.end(1)
        indices.extend(range(more.start(1), end))
    follower = text[end : end + 1]
    if follower and not follower.isspace() and follower != quote:
        raise Base64Damaged(offset=paste.offset(end))
    return read_armor(paste, indices=indices), end


def _missing_characters(characters: str) -> int:
    """Return how many characters a key lacks at least; below 0, how many are too many."""
    body = characters.replace("=", "")
    return size_in_base64(least_blob_size(decode_start(body))) - len(body)


def _base64_at(text: str, index: int) -> str:
    match = _BASE64.match(text, index)
    return match[0] if match else ""


def _skip_gap(text: str, index: int) -> int:
    gap = _GAP.match(text, index)
    return gap.end() if gap else index


def _line_end(text: str, index: int) -> int:
    end = text.find("\n", index)
    return len(text) if end < 0 else end
