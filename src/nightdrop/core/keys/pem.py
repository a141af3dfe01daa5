# SPDX-License-Identifier: Apache-2.0
"""Public keys in PEM, as OpenSSL and ``ssh-keygen -e -m PKCS8`` write them.

Shape:   -----BEGIN PUBLIC KEY-----       SubjectPublicKeyInfo, any algorithm
         -----BEGIN RSA PUBLIC KEY-----   PKCS#1: n, e
Source:  RFC 7468, section 13; RFC 8017, appendix A.1.1.

DER is read by `cryptography`. Its faults carry no place, so the offset of a refusal is
that of the block's body. What comes out is written as a blob and read like any other,
so that one set of rules decides about every key.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from nightdrop.core.keys.armor import filled_indices, read_armor
from nightdrop.core.keys.blob import CURVES, KeyType, read_blob
from nightdrop.core.keys.errors import DerDamaged, DsaRefused, UnknownType
from nightdrop.core.keys.paste import Paste
from nightdrop.core.keys.public import PublicKey
from nightdrop.core.keys.wire import write_mpint, write_string

LABELS = frozenset({"PUBLIC KEY", "RSA PUBLIC KEY", "EC PUBLIC KEY"})

#: 1.2.840.10040.4.1, id-dsa, tag and length included.
_DSA_OID = bytes.fromhex("06072a8648ce380401")
_ECDSA_TYPES = (KeyType.ECDSA_256, KeyType.ECDSA_384, KeyType.ECDSA_521)
_TYPES_BY_CURVE = {CURVES[key_type].name: key_type for key_type in _ECDSA_TYPES}


def read_pem(paste: Paste, *, label: str, start: int, end: int) -> PublicKey:
    """Read what stands between the BEGIN and the END line, from `start` to `end`.

    Raises:  Base64Damaged; DerDamaged; DsaRefused; UnknownType, which names the
             algorithm or the curve; and what `read_blob` raises.
    """
    armored = read_armor(paste, indices=filled_indices(paste, start=start, end=end))
    armored.require_no_loose_end()
    offset = armored.offset(0)
    if _DSA_OID in armored.data:
        raise DsaRefused(offset=offset)
    loaded = _load(armored.data)
    if loaded is None:
        raise DerDamaged(offset=offset, label=label)
    if isinstance(loaded, str):
        raise UnknownType(offset=offset, type=loaded)
    blob = _write_blob(loaded)
    if blob is None:
        raise UnknownType(offset=offset, type=_name(loaded))
    facts = read_blob(blob, locate=lambda _: offset)
    return PublicKey(type=facts.type, bits=facts.bits, blob=blob)


def _load(der: bytes) -> PublicKeyTypes | str | None:
    """Return the key, a word for an algorithm that the library lacks, or None."""
    try:
        return load_der_public_key(der)
    except UnsupportedAlgorithm:
        return "unsupported"
    except ValueError:
        return None


def _write_blob(key: PublicKeyTypes) -> bytes | None:
    if isinstance(key, Ed25519PublicKey):
        point = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return _joined(KeyType.ED25519, write_string(point))
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return _joined(KeyType.RSA, write_mpint(numbers.e), write_mpint(numbers.n))
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _TYPES_BY_CURVE:
        point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        curve = b"nistp%d" % key.curve.key_size
        key_type = _TYPES_BY_CURVE[key.curve.name]
        return _joined(key_type, write_string(curve), write_string(point))
    return None


def _joined(key_type: KeyType, *fields: bytes) -> bytes:
    return write_string(key_type.encode()) + b"".join(fields)


def _name(key: PublicKeyTypes) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name
    # "X25519PublicKey" and its like are the library's documented names.
    return type(key).__name__.removesuffix("PublicKey").lower()
