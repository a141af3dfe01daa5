# SPDX-License-Identifier: Apache-2.0
"""RFC 4716 and PEM beyond what the vectors show."""

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.keys.key_lines import VECTORS, make_ed25519_blob, make_key_line, vector
from nightdrop.core.keys import KeyRefused, read_public_key
from nightdrop.core.keys.errors import (
    Base64Damaged,
    DerDamaged,
    DsaRefused,
    EndLineMissing,
    PointNotOnCurve,
    Truncated,
    UnknownType,
)

BODY = base64.b64encode(make_ed25519_blob()).decode()


def make_rfc4716(*, headers: str = "", body: str = BODY) -> bytes:
    text = f"---- BEGIN SSH2 PUBLIC KEY ----\n{headers}{body}\n---- END SSH2 PUBLIC KEY ----\n"
    return text.encode()


def make_pem(der: bytes, *, label: str = "PUBLIC KEY") -> bytes:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


@pytest.mark.parametrize(
    ("headers", "comment"),
    [
        ("", ""),
        ("Comment: night\n", "night"),
        ('Comment: "a night: key"\n', "a night: key"),
        ('Comment: "\n', '"'),
        ("Subject: bob\nCOMMENT: night\nx-made-by: us\n", "night"),
        ("Comment: a long \\\ncomment \\\nin three lines\n\n", "a long comment in three lines"),
    ],
)
def test_headers_of_rfc_4716_are_read(headers: str, comment: str) -> None:
    key = read_public_key(make_rfc4716(headers=headers))
    assert (key.blob, key.comment) == (make_ed25519_blob(), comment)


@pytest.mark.parametrize(
    ("block", "refusal", "offset"),
    [
        (make_rfc4716(body=BODY[:-4]), Truncated, 32 + 64),
        (make_rfc4716(body=BODY[:9] + "*" + BODY[10:]), Base64Damaged, 32 + 9),
        (make_rfc4716(body="Thanks\nBob"), Truncated, 32 + 9),
        (make_rfc4716(headers="Comment: broken\nby-mail\n"), Base64Damaged, 32 + 16 + 2),
        (make_rfc4716()[:-29], EndLineMissing, 0),
        (make_rfc4716(body="")[:40], EndLineMissing, 0),
    ],
)
def test_a_fault_in_a_block_is_named_with_its_place(
    block: bytes, refusal: type[KeyRefused], offset: int
) -> None:
    with pytest.raises(refusal) as caught:
        read_public_key(block)
    assert caught.value.offset == offset


def test_a_pem_that_lost_its_line_ends_is_read() -> None:
    text = vector("ecdsa256.pem").replace(b"\n", b"")
    assert read_public_key(text) == read_public_key(vector("ecdsa256.pem"))


@pytest.mark.parametrize(
    ("public", "name"),
    [
        (X25519PrivateKey.generate().public_key(), "x25519"),
        (Ed448PrivateKey.generate().public_key(), "ed448"),
        (ec.generate_private_key(ec.SECP256K1()).public_key(), "secp256k1"),
    ],
)
def test_a_pem_of_another_algorithm_is_named(public: PublicKeyTypes, name: str) -> None:
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(UnknownType) as caught:
        read_public_key(pem)
    assert caught.value.type == name


def test_a_pem_of_a_curve_that_no_library_has_is_refused() -> None:
    der = base64.b64decode(b"".join(vector("ecdsa256.pem").splitlines()[1:-1]))
    # 1.2.840.10045.3.1.7 is P-256; there is no curve 1.2.840.10045.3.1.99.
    prime256v1 = bytes.fromhex("2a8648ce3d030107")
    with pytest.raises(UnknownType):
        read_public_key(make_pem(der.replace(prime256v1, prime256v1[:-1] + b"\x63")))


def test_a_pem_of_dsa_is_refused_by_name(ssh_keygen: Callable[..., str]) -> None:
    pem = ssh_keygen("-e", "-m", "PKCS8", "-f", VECTORS / "dsa.pub")
    with pytest.raises(DsaRefused):
        read_public_key(pem.encode())


@pytest.mark.parametrize("der", [b"", b"\x30\x03\x02\x01\x05", b"\x30\x00", b"?" * 40])
def test_der_that_is_no_key_is_refused(der: bytes) -> None:
    with pytest.raises(DerDamaged) as caught:
        read_public_key(make_pem(der))
    assert caught.value.label == "PUBLIC KEY"


def test_a_pem_with_a_point_off_its_curve_is_refused() -> None:
    der = base64.b64decode(b"".join(vector("ed25519_openssl.pem").splitlines()[1:-1]))
    with pytest.raises(PointNotOnCurve):
        read_public_key(make_pem(der[:-32] + (2).to_bytes(32, "little")))


def test_a_word_above_a_bare_key_is_prose() -> None:
    line = make_key_line().removeprefix(b"ssh-ed25519 ")
    assert read_public_key(b"Hello\n" + line).blob == make_ed25519_blob()
