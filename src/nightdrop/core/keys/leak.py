# SPDX-License-Identifier: Apache-2.0
"""Recognises a private key however much of it has been mangled.

This looks before any reader does, and looks for the worst: indented, quoted, wrapped
inside the header, with the header lost, in UTF-16, as bare DER. A public key that is
called private by mistake costs a look; a private key that is taken for a typing error
gets mailed again.

What is found is a format and an offset. Nothing of the key is kept.
"""

import re
from dataclasses import dataclass

from nightdrop.core.keys.armor import ALPHABET, decode_start
from nightdrop.core.keys.errors import PrivateFormat
from nightdrop.core.keys.paste import Paste

# Headers are sought in the text with everything but letters and digits taken out, which
# undoes wrapping, quoting and indenting. GT and 20 are what is left of "&gt;" and "%20".
_HEADER = re.compile(
    r"(?:BEGIN|END)"
    r"(?:(?P<openssh>OPENSSH)|(?P<ssh2>SSH2)|RSA|DSA|EC|ANY|PGP|ENCRYPTED|GT|20)*"
    r"PRIVATE(?:GT|20)*KEY"
)
_PPK = re.compile(r"PUTTYUSERKEYFILE[0-9]|PRIVATELINES[0-9]")
_PEM_FIELDS = re.compile(r"PROCTYPE4ENCRYPTED|DEKINFO(?:AES|DES|CAMELLIA)")
_SSH1 = re.compile(r"SSHPRIVATEKEYFILEFORMAT1")

#: "openssh-key-v1" in base64, up to where what follows begins to matter.
_OPENSSH_MAGIC = "b3BlbnNzaC1rZXktdjE"
_SSH_COM_MAGIC = bytes.fromhex("3f6ff9eb")

#: M begins the base64 of a DER sequence, P that of the Tectia magic.
_BODY_START = re.compile(r"(?<![A-Za-z0-9+/])[MP]")
_BODY_CHARACTERS = 40

# SEQUENCE { INTEGER version 0, 1 or 3: PKCS#1, PKCS#8, SEC 1, PKCS#12. A public key's
# sequence begins with another sequence, or with a number as long as the key.
# SEQUENCE { SEQUENCE { OID of PKCS#5 or PKCS#12: encrypted PKCS#8.
_PRIVATE_DER = re.compile(
    rb"\x30(?:[\x01-\x7f]|\x81.|\x82..|\x83...)"
    rb"(?:\x02\x01[\x00\x01\x03]"
    rb"|\x30(?:[\x01-\x7f]|\x81.)\x06[\x09\x0a]\x2a\x86\x48\x86\xf7\x0d\x01[\x05\x0c])",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Leak:
    """A private key was given: in which format, and where it begins."""

    format: PrivateFormat
    offset: int


def find_private_key(data: bytes, *, paste: Paste) -> Leak | None:
    """Look for a private key in `data`, of which `paste` is the repaired text.

    Units:   the offset counts bytes of `data`.
    """
    if _PRIVATE_DER.match(data):
        return Leak(format=PrivateFormat.PEM, offset=0)
    return _find_header(paste) or _find_body(paste)


def _find_header(paste: Paste) -> Leak | None:
    places = [
        index
        for index, character in enumerate(paste.text)
        if character.isascii() and character.isalnum()
    ]
    squeezed = "".join(paste.text[index] for index in places).upper()
    for match in _HEADER.finditer(squeezed):
        start, last = places[match.start()], places[match.end() - 1]
        if _has_dash_beside(paste.text, start=start, end=last + 1):
            return Leak(format=_format_in_header(match), offset=paste.offset(start))
    for pattern, private_format in (
        (_PPK, PrivateFormat.PPK),
        (_PEM_FIELDS, PrivateFormat.PEM),
        (_SSH1, PrivateFormat.SSH1),
    ):
        found = pattern.search(squeezed)
        if found:
            return Leak(format=private_format, offset=paste.offset(places[found.start()]))
    return None


def _has_dash_beside(text: str, *, start: int, end: int) -> bool:
    """Tell a header from a sentence such as "begin with a private key"."""
    before, behind = text[max(0, start - 3) : start], text[end : end + 3]
    return before.rstrip().endswith("-") or behind.lstrip().startswith("-")


def _format_in_header(match: re.Match[str]) -> PrivateFormat:
    if match["openssh"]:
        return PrivateFormat.OPENSSH
    return PrivateFormat.SSH_COM if match["ssh2"] else PrivateFormat.PEM


def _find_body(paste: Paste) -> Leak | None:
    places = [index for index, character in enumerate(paste.text) if character in ALPHABET]
    squeezed = "".join(paste.text[index] for index in places)
    magic = squeezed.find(_OPENSSH_MAGIC)
    if magic >= 0:
        return Leak(format=PrivateFormat.OPENSSH, offset=paste.offset(places[magic]))

    ranks = {index: rank for rank, index in enumerate(places)}
    for match in _BODY_START.finditer(paste.text):
        rank = ranks[match.start()]
        decoded = decode_start(squeezed[rank : rank + _BODY_CHARACTERS])
        offset = paste.offset(match.start())
        if decoded.startswith(_SSH_COM_MAGIC):
            return Leak(format=PrivateFormat.SSH_COM, offset=offset)
        if _PRIVATE_DER.match(decoded):
            return Leak(format=PrivateFormat.PEM, offset=offset)
    return None
