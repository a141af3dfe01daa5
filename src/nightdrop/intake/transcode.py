# SPDX-License-Identifier: Apache-2.0
"""Write a file anew as UTF-8, so that everything behind reads one encoding only.

Bytes that cannot be decoded become `records.DAMAGE`; the row that holds it is faulty,
on its own line, and no other row is touched.
"""

import codecs
from pathlib import Path
from typing import Final

from nightdrop.intake.records import DAMAGE
from nightdrop.intake.sniff import Encoding

_CHUNK: Final = 1 << 20
_HANDLER: Final = "nightdrop-damage"


def transcode(source: Path, *, encoding: Encoding, bom_bytes: int, target: Path) -> None:
    """Write `source`, without its byte order mark, into `target` as UTF-8.

    Raises: OSError when either file cannot be used.
    """
    decoder = codecs.getincrementaldecoder(encoding.value)(_HANDLER)
    with source.open("rb") as reader, target.open("wb") as writer:
        reader.seek(bom_bytes)
        while chunk := reader.read(_CHUNK):
            writer.write(decoder.decode(chunk).encode())
        writer.write(decoder.decode(b"", final=True).encode())


def _mark_damage(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        return DAMAGE, error.end
    raise error


codecs.register_error(_HANDLER, _mark_damage)
