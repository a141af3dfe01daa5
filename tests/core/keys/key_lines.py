# SPDX-License-Identifier: Apache-2.0
"""Makes blobs and lines of which exactly one part is wrong, or none."""

import base64
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from nightdrop.core.keys.blob import KeyType
from nightdrop.core.keys.wire import write_mpint, write_string

VECTORS = Path(__file__).parents[2] / "vectors" / "keys"

#: Public keys of fixed seeds: the same in each run, and nobody's.
ED25519_POINT = (
    Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"nightdrop").digest())
    .public_key()
    .public_bytes(Encoding.Raw, PublicFormat.Raw)
)
P256_POINT = (
    ec.derive_private_key(0x6E696768, ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)


def vector(name: str) -> bytes:
    """Return a file of tests/vectors/keys."""
    return (VECTORS / name).read_bytes()


def vector_blob(name: str) -> bytes:
    """Return the blob in a vector that is an OpenSSH line."""
    return base64.b64decode(vector(name).split()[1])


def make_ed25519_blob(*, key_type: str = KeyType.ED25519, point: bytes = ED25519_POINT) -> bytes:
    return write_string(key_type.encode()) + write_string(point)


def make_sk_ed25519_blob(*, application: bytes = b"ssh:") -> bytes:
    return make_ed25519_blob(key_type=KeyType.SK_ED25519) + write_string(application)


def make_ecdsa_blob(
    *,
    key_type: str = KeyType.ECDSA_256,
    curve: bytes = b"nistp256",
    point: bytes = P256_POINT,
) -> bytes:
    return write_string(key_type.encode()) + write_string(curve) + write_string(point)


def make_sk_ecdsa_blob(*, application: bytes = b"ssh:") -> bytes:
    return make_ecdsa_blob(key_type=KeyType.SK_ECDSA_256) + write_string(application)


def make_rsa_blob(*, exponent: int = 65537, modulus: int | None = None, bits: int = 2048) -> bytes:
    """Return a blob of the right shape; its modulus is odd, and no product of two primes."""
    number = (1 << (bits - 1)) + 1 if modulus is None else modulus
    return write_string(KeyType.RSA.encode()) + write_mpint(exponent) + write_mpint(number)


def make_key_line(
    *,
    options: str = "",
    named: str = KeyType.ED25519,
    blob: bytes | None = None,
    body: str | None = None,
    comment: str = "night@applegrove.org",
) -> bytes:
    """Return a line that is read without a fault unless an argument brings one in."""
    encoded = base64.b64encode(make_ed25519_blob() if blob is None else blob).decode()
    parts = (options, named, encoded if body is None else body, comment)
    return " ".join(part for part in parts if part).encode() + b"\n"
