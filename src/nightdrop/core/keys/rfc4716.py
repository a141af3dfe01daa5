# SPDX-License-Identifier: Apache-2.0
r"""The public key file of RFC 4716, which puttygen and other Windows tools save.

Shape:   ---- BEGIN SSH2 PUBLIC KEY ----
         *(Tag ":" SP value)        a value that ends in ``\`` goes on in the next line
         base64, in lines
         ---- END SSH2 PUBLIC KEY ----
Source:  RFC 4716, section 3. Of the headers only Comment is kept. Lines may be longer
         than its 72 bytes.
"""

from collections.abc import Iterator

from nightdrop.core.keys.armor import filled_indices, read_armor
from nightdrop.core.keys.blob import read_blob
from nightdrop.core.keys.paste import Paste
from nightdrop.core.keys.public import PublicKey

LABEL = "SSH2 PUBLIC KEY"

_QUOTES = '"'


def read_rfc4716(paste: Paste, *, start: int, end: int) -> PublicKey:
    """Read what stands between the BEGIN and the END line, from `start` to `end`.

    Raises:  Base64Damaged, and what `read_blob` raises.
    """
    comment = ""
    body_start = start
    for tag, value, line_end in _headers(paste.text, start=start, end=end):
        body_start = line_end
        if tag.lower() == "comment":
            comment = value
    armored = read_armor(paste, indices=filled_indices(paste, start=body_start, end=end))
    facts = read_blob(armored.data, locate=armored.offset)
    armored.require_no_loose_end()
    return PublicKey(type=facts.type, bits=facts.bits, blob=armored.data, comment=comment)


def _headers(text: str, *, start: int, end: int) -> Iterator[tuple[str, str, int]]:
    """Yield each header and the index behind it, until a line has no colon."""
    header = ""
    position = start
    for line in text[start:end].splitlines(keepends=True):
        position += len(line)
        content = line.strip()
        if not header and content and ":" not in content:
            return
        header += content.removesuffix("\\")
        if header and not content.endswith("\\"):
            tag, _, value = header.partition(":")
            yield tag.strip(), _without_quotes(value.strip()), position
            header = ""


def _without_quotes(value: str) -> str:
    if len(value) >= 2 * len(_QUOTES) and value.startswith(_QUOTES) and value.endswith(_QUOTES):
        return value.removeprefix(_QUOTES).removesuffix(_QUOTES)
    return value
