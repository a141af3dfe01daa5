# SPDX-License-Identifier: Apache-2.0
"""The binary form of a public key: what is signed with, stored and fingerprinted.

Formats, after ``string type``:
    ssh-ed25519                         string point (32 bytes)
    sk-ssh-ed25519@openssh.com          string point (32 bytes), string application
    ecdsa-sha2-nistp256 (384, 521)      string curve, string point (04, x, y)
    sk-ecdsa-sha2-nistp256@openssh.com  string curve, string point, string application
    ssh-rsa                             mpint e, mpint n
Source:  RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4, OpenSSH's PROTOCOL.u2f.

One key has one blob: whatever could be spelt in two ways is refused.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec

from nightdrop.core.keys import edwards
from nightdrop.core.keys.errors import (
    CertificateRefused,
    DsaRefused,
    FieldUnfit,
    PointNotOnCurve,
    PointWeak,
    RsaNumbersUnfit,
    TypeUnreadable,
    UnknownType,
)
from nightdrop.core.keys.wire import WireReader, least_size_of_strings


class KeyType(StrEnum):
    """The types of key that can be installed, by their names in the protocol."""

    #: Edwards curve 25519.
    ED25519 = "ssh-ed25519"
    #: The same, held by a security key.
    SK_ED25519 = "sk-ssh-ed25519@openssh.com"
    #: NIST curve P-256.
    ECDSA_256 = "ecdsa-sha2-nistp256"
    #: NIST curve P-384.
    ECDSA_384 = "ecdsa-sha2-nistp384"
    #: NIST curve P-521.
    ECDSA_521 = "ecdsa-sha2-nistp521"
    #: NIST curve P-256, held by a security key.
    SK_ECDSA_256 = "sk-ecdsa-sha2-nistp256@openssh.com"
    #: RSA, of whatever length.
    RSA = "ssh-rsa"


#: The same by name; a name that is not here is not accepted.
KEY_TYPES = {key_type.value: key_type for key_type in KeyType}

#: How many strings a blob is made of, the type included (an mpint is a string too).
FIELD_COUNTS = {
    KeyType.ED25519: 2,
    KeyType.SK_ED25519: 3,
    KeyType.ECDSA_256: 3,
    KeyType.ECDSA_384: 3,
    KeyType.ECDSA_521: 3,
    KeyType.SK_ECDSA_256: 4,
    KeyType.RSA: 3,
}

CURVES: dict[KeyType, ec.EllipticCurve] = {
    KeyType.ECDSA_256: ec.SECP256R1(),
    KeyType.ECDSA_384: ec.SECP384R1(),
    KeyType.ECDSA_521: ec.SECP521R1(),
    KeyType.SK_ECDSA_256: ec.SECP256R1(),
}

DSA_TYPE = "ssh-dss"
_ED25519_BITS = 256
_UNCOMPRESSED = b"\x04"

_TYPE_NAME = re.compile(r"[a-z0-9][a-z0-9.@-]{2,63}")
_CERTIFICATE_NAME = re.compile(r".*-cert-v[0-9]{2}@openssh\.com|x509v3-.*")


@dataclass(frozen=True, slots=True)
class BlobFacts:
    """What a blob says of itself."""

    type: KeyType
    bits: int


def is_type_name(text: str) -> bool:
    """Say whether `text` has the shape of a key type's name, known or not."""
    return _TYPE_NAME.fullmatch(text) is not None


def read_blob(blob: bytes, *, locate: Callable[[int], int] = lambda index: index) -> BlobFacts:
    """Read a public key to its last byte.

    Units:   `locate` turns an index into `blob` into the offset that a refusal names.
    Raises:  DsaRefused, CertificateRefused and UnknownType by the type alone;
             Truncated, TrailingBytes, NumberNotCanonical, FieldUnfit, PointNotOnCurve,
             PointWeak, RsaNumbersUnfit.
    """
    reader = WireReader(blob, locate=locate)
    key_type = _read_type(reader)
    if key_type is KeyType.RSA:
        bits = _read_rsa(reader)
    elif key_type in CURVES:
        bits = _read_ecdsa(reader, key_type=key_type)
    else:
        bits = _read_ed25519(reader, key_type=key_type)
    if key_type in {KeyType.SK_ED25519, KeyType.SK_ECDSA_256}:
        _read_application(reader)
    reader.finish()
    return BlobFacts(type=key_type, bits=bits)


def type_in_blob(blob: bytes) -> str | None:
    """Return the type that `blob` names, known or not; None where it names none."""
    size_bytes = int.from_bytes(blob[:4])
    name = blob[4 : 4 + size_bytes].decode("ascii", "replace")
    return name if len(name) == size_bytes and is_type_name(name) else None


def least_blob_size(start: bytes) -> int:
    """Return how many bytes a blob that begins with `start` has at least.

    Returns: the exact size where `start` holds the lengths of all its fields. Of a type
             that is not known, only the type's own name is counted.
    """
    key_type = KEY_TYPES.get(type_in_blob(start) or "")
    return least_size_of_strings(start, count=FIELD_COUNTS[key_type] if key_type else 1)


def _read_type(reader: WireReader) -> KeyType:
    name = reader.string("type").decode("ascii", "replace")
    offset = reader.field_offset
    if not is_type_name(name):
        raise TypeUnreadable(offset=offset)
    if name == DSA_TYPE:
        raise DsaRefused(offset=offset)
    if _CERTIFICATE_NAME.fullmatch(name):
        raise CertificateRefused(offset=offset, type=name)
    if name not in KEY_TYPES:
        raise UnknownType(offset=offset, type=name)
    return KEY_TYPES[name]


def _read_ed25519(reader: WireReader, *, key_type: KeyType) -> int:
    point = reader.string("point")
    if len(point) != edwards.SIZE_BYTES:
        raise FieldUnfit(offset=reader.field_offset, field="point")
    if not edwards.is_on_curve(point):
        raise PointNotOnCurve(offset=reader.field_offset, type=key_type)
    if edwards.is_of_small_order(point):
        raise PointWeak(offset=reader.field_offset, type=key_type)
    return _ED25519_BITS


def _read_ecdsa(reader: WireReader, *, key_type: KeyType) -> int:
    curve = CURVES[key_type]
    if reader.string("curve") != _ssh_curve_name(curve):
        raise FieldUnfit(offset=reader.field_offset, field="curve")
    point = reader.string("point")
    # Compressed points are allowed by the RFC and accepted by nobody.
    if not point.startswith(_UNCOMPRESSED) or not _is_on_curve(point, curve=curve):
        raise PointNotOnCurve(offset=reader.field_offset, type=key_type)
    return curve.key_size


def _ssh_curve_name(curve: ec.EllipticCurve) -> bytes:
    return b"nistp%d" % curve.key_size


def _is_on_curve(point: bytes, *, curve: ec.EllipticCurve) -> bool:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError:
        return False
    return True


def _read_application(reader: WireReader) -> None:
    application = reader.string("application")
    try:
        text = application.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not text:
        raise FieldUnfit(offset=reader.field_offset, field="application")


def _read_rsa(reader: WireReader) -> int:
    exponent = reader.mpint("exponent")
    exponent_offset = reader.field_offset
    modulus = reader.mpint("modulus")
    if exponent % 2 == 0 or not 1 < exponent < modulus:
        raise RsaNumbersUnfit(offset=exponent_offset, field="exponent")
    if modulus % 2 == 0:
        raise RsaNumbersUnfit(offset=reader.field_offset, field="modulus")
    return modulus.bit_length()
