# SPDX-License-Identifier: Apache-2.0
"""Finds out what was given, and reads it: the way in for every public key.

Order:   1. repair the text; 2. refuse a private key, before anything is read; 3. go
         through the lines: a BEGIN line opens a block, any other may hold one key.
What is deliberately absent: files, the clock, and the rules of `policy`, which the
caller asks next.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo

from nightdrop.core.keys.errors import (
    CertificateRefused,
    DsaRefused,
    EndLineMissing,
    KeyFileTooLarge,
    NotAKey,
    PrivateKeyGiven,
    SeveralKeys,
    UnknownType,
)
from nightdrop.core.keys.leak import find_private_key
from nightdrop.core.keys.openssh import read_line
from nightdrop.core.keys.paste import Paste, mend_paste
from nightdrop.core.keys.pem import LABELS as PEM_LABELS
from nightdrop.core.keys.pem import read_pem
from nightdrop.core.keys.public import PublicKey
from nightdrop.core.keys.rfc4716 import LABEL as RFC4716_LABEL
from nightdrop.core.keys.rfc4716 import read_rfc4716

#: Room for several hundred of the longest usual keys.
MAXIMUM_SIZE_BYTES = 262_144

_BEGIN = re.compile(r"[ \t]*[\"'`]?-+[ \t]*BEGIN[ \t]+([A-Z0-9][A-Z0-9 ]{0,60}?)[ \t]*-+")
_X509_LABELS = frozenset({"CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE"})


@dataclass(frozen=True, slots=True)
class _Found:
    key: PublicKey
    offset: int


def read_public_key(data: bytes, *, zone: tzinfo = UTC) -> PublicKey:
    """Read the one public key in `data`.

    Shape:   an OpenSSH line with or without options, RFC 4716, or PEM; repaired as
             `paste` and `openssh` say, with any text after it.
    Units:   `zone` is that of an ``expiry-time`` that does not end in Z.
    Raises:  a subclass of KeyRefused. PrivateKeyGiven comes before all others; NotAKey
             and SeveralKeys when there is not exactly one.
    """
    found = _read_all(data, zone=zone)
    if not found:
        raise NotAKey(offset=0)
    if len(found) > 1:
        raise SeveralKeys(offset=found[1].offset, count=len(found))
    return found[0].key


def read_authorized_keys(data: bytes, *, zone: tzinfo = UTC) -> tuple[PublicKey, ...]:
    """Read every key in `data`, in order; none is an answer too.

    Raises:  a subclass of KeyRefused for the first key that cannot be read, otherwise
             as `read_public_key`.
    """
    return tuple(found.key for found in _read_all(data, zone=zone))


def _read_all(data: bytes, *, zone: tzinfo) -> list[_Found]:
    start = data[:MAXIMUM_SIZE_BYTES]
    paste = mend_paste(start)
    leak = find_private_key(start, paste=paste)
    if leak is not None:
        raise PrivateKeyGiven(offset=leak.offset, format=leak.format)
    if len(data) > MAXIMUM_SIZE_BYTES:
        raise KeyFileTooLarge(
            offset=MAXIMUM_SIZE_BYTES, size_bytes=len(data), limit_bytes=MAXIMUM_SIZE_BYTES
        )
    return list(_read_keys(paste, zone=zone))


def _read_keys(paste: Paste, *, zone: tzinfo) -> Iterator[_Found]:
    position = 0
    while position < len(paste.text):
        begin = _BEGIN.match(paste.text, position)
        if begin:
            result: tuple[PublicKey, int] | None = _read_block(paste, begin)
        else:
            result = read_line(paste, position, zone=zone)
        if result is not None:
            key, end = result
            yield _Found(key=key, offset=paste.offset(position))
            position = end
        line_end = paste.text.find("\n", position)
        position = len(paste.text) if line_end < 0 else line_end + 1


def _read_block(paste: Paste, begin: re.Match[str]) -> tuple[PublicKey, int]:
    label = begin[1]
    offset = paste.offset(begin.start())
    if label in _X509_LABELS:
        raise CertificateRefused(offset=offset, type="x509")
    if label == "DSA PUBLIC KEY":
        raise DsaRefused(offset=offset)
    if label != RFC4716_LABEL and label not in PEM_LABELS:
        raise UnknownType(offset=offset, type=label)
    end = re.compile(rf"-+[ \t]*END[ \t]+{label}").search(paste.text, begin.end())
    if end is None:
        raise EndLineMissing(offset=offset, label=label)
    if label == RFC4716_LABEL:
        key = read_rfc4716(paste, start=begin.end(), end=end.start())
    else:
        key = read_pem(paste, label=label, start=begin.end(), end=end.start())
    return key, end.end()
