# SPDX-License-Identifier: Apache-2.0
"""Which algorithms the SFTP server speaks, strongest or fastest first.

Every port has a profile. The modern one is for everybody; the legacy one adds what clients
of about 2012 to 2018 need, on a port of its own that is off unless somebody turns it on.

Deliberately absent from both: SHA-1 anywhere, DSA, CBC, groups below 2048 bits, compression.
A name that this build of asyncssh cannot do (sntrup761 needs a library of its own) is left
out of what is offered and not an error.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from asyncssh.kex import get_kex_algs
from cryptography.utils import CryptographyDeprecationWarning

from nightdrop.storage.hostkeys import KeyKind, kinds_in_use

# Groups of fixed primes are offered on purpose, to clients that know nothing newer. Nobody who
# reads the server's log can do anything about the wish of a library to drop them some day.
warnings.filterwarnings(
    "ignore", "Diffie-Hellman over finite fields", category=CryptographyDeprecationWarning
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one port speaks; `name` is how logs and events call it.

    `key_exchanges` are those that are wanted: see `choose_key_exchanges`.
    """

    name: str
    key_exchanges: tuple[str, ...]
    macs: tuple[str, ...]
    host_keys: tuple[KeyKind, ...]


_KEY_EXCHANGES: Final = (
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group16-sha512",
)

#: chacha20-poly1305 is only safe with strict key exchange, which asyncssh always offers and
#: every client since the end of 2023 takes up.
CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
    "aes192-ctr",
)

_MACS: Final = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")

MODERN: Final = Profile(
    name="modern",
    key_exchanges=_KEY_EXCHANGES,
    macs=_MACS,
    host_keys=kinds_in_use(has_legacy=False),
)

LEGACY: Final = Profile(
    name="legacy",
    key_exchanges=(
        *_KEY_EXCHANGES,
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group14-sha256",
    ),
    macs=(*_MACS, "hmac-sha2-256", "hmac-sha2-512"),
    host_keys=kinds_in_use(has_legacy=True),
)

#: Signatures of users' keys.
SIGNATURES: Final = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)

#: Signatures with the server's own RSA key.
RSA_HOST_SIGNATURES: Final = (b"rsa-sha2-512", b"rsa-sha2-256")


def choose_key_exchanges(
    profile: Profile, available: Iterable[bytes] | None = None
) -> tuple[str, ...]:
    """Return the key exchanges of a profile that this build can do, best first."""
    can = set(get_kex_algs() if available is None else available)
    return tuple(name for name in profile.key_exchanges if name.encode() in can)
