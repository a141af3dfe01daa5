# SPDX-License-Identifier: Apache-2.0
"""Which algorithms the SFTP server speaks: the modern profile, strongest or fastest first.

Deliberately absent: SHA-1 anywhere, DSA, CBC, groups below 3072 bits, compression. A name
that this build of asyncssh cannot do (sntrup761 needs a library of its own) is left out
of what is offered and not an error.
"""

from collections.abc import Iterable
from typing import Final

from asyncssh.kex import get_kex_algs

_WANTED_KEY_EXCHANGES: Final = (
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

MACS: Final = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")

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


def choose_key_exchanges(available: Iterable[bytes] | None = None) -> tuple[str, ...]:
    """Return the wanted key exchanges that this build can do, best first."""
    can = set(get_kex_algs() if available is None else available)
    return tuple(name for name in _WANTED_KEY_EXCHANGES if name.encode() in can)
