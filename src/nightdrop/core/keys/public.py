# SPDX-License-Identifier: Apache-2.0
"""A public key as a value, whatever it was read from."""

import base64
from dataclasses import dataclass
from datetime import datetime

from nightdrop.core.keys.blob import KeyType
from nightdrop.core.keys.fingerprint import md5_fingerprint, sha256_fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOptions:
    """What stood before the key in its line.

    `networks` are of ``from=``, each an address with its prefix length as `ipaddress`
    writes it; empty means from anywhere. `expires_at` is aware. `ignored` names the
    other options, as they were written, each once.
    """

    networks: tuple[str, ...] = ()
    expires_at: datetime | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """One public key that was read to its last byte.

    `blob` is its binary form (see `blob`), `bits` the strength as people name it.
    `comment` is one line without control characters, and may be empty.
    """

    type: KeyType
    bits: int
    blob: bytes
    comment: str = ""
    options: KeyOptions = KeyOptions()

    @property
    def fingerprint(self) -> str:
        """``SHA256:...``, by which a key is named everywhere."""
        return sha256_fingerprint(self.blob)

    @property
    def md5(self) -> str:
        """``MD5:aa:bb:...``, for comparison with older tools."""
        return md5_fingerprint(self.blob)


def openssh_line(key: PublicKey) -> str:
    """Write the line of an ``authorized_keys`` file, without options or line end."""
    return f"{key.type} {base64.b64encode(key.blob).decode()} {key.comment}".rstrip()
