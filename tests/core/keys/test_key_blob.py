# SPDX-License-Identifier: Apache-2.0
import pytest

from core.keys.key_lines import (
    ED25519_POINT,
    P256_POINT,
    make_ecdsa_blob,
    make_ed25519_blob,
    make_rsa_blob,
    make_sk_ecdsa_blob,
    make_sk_ed25519_blob,
    vector_blob,
)
from nightdrop.core.keys import KeyRefused, KeyType
from nightdrop.core.keys.blob import read_blob, type_in_blob
from nightdrop.core.keys.errors import (
    CertificateRefused,
    DsaRefused,
    FieldUnfit,
    NumberNotCanonical,
    PointNotOnCurve,
    PointWeak,
    RsaNumbersUnfit,
    TrailingBytes,
    Truncated,
    TypeUnreadable,
    UnknownType,
)
from nightdrop.core.keys.wire import write_string

P = 2**255 - 19
#: y of a point of order 8; RFC 7748's curve has four such points.
ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7

GOOD = {
    "ed25519": (make_ed25519_blob(), KeyType.ED25519, 256),
    "sk-ed25519": (make_sk_ed25519_blob(), KeyType.SK_ED25519, 256),
    "ecdsa": (make_ecdsa_blob(), KeyType.ECDSA_256, 256),
    "ecdsa 384": (vector_blob("ecdsa384.pub"), KeyType.ECDSA_384, 384),
    "ecdsa 521": (vector_blob("ecdsa521.pub"), KeyType.ECDSA_521, 521),
    "sk-ecdsa": (make_sk_ecdsa_blob(), KeyType.SK_ECDSA_256, 256),
    "rsa": (make_rsa_blob(), KeyType.RSA, 2048),
    "rsa of ssh-keygen": (vector_blob("rsa3072.pub"), KeyType.RSA, 3072),
}


def offset_of_refusal(blob: bytes) -> int:
    """Return where a blob is refused; 0 too where it is read as another key."""
    try:
        read_blob(blob)
    except KeyRefused as refused:
        return refused.offset
    return 0


good = pytest.mark.parametrize("name", GOOD)


@good
def test_a_good_blob_tells_type_and_bits(name: str) -> None:
    blob, key_type, bits = GOOD[name]
    facts = read_blob(blob)
    assert (facts.type, facts.bits) == (key_type, bits)


@good
def test_every_truncation_is_named(name: str) -> None:
    blob = GOOD[name][0]
    for size in range(len(blob)):
        with pytest.raises(Truncated) as caught:
            read_blob(blob[:size])
        assert caught.value.offset == size
        assert 0 < caught.value.missing_bytes <= len(blob) - size


@good
def test_a_byte_too_many_is_named(name: str) -> None:
    with pytest.raises(TrailingBytes):
        read_blob(GOOD[name][0] + b"\0")


@good
def test_every_one_byte_corruption_is_refused_by_name_or_is_another_key(name: str) -> None:
    blob = GOOD[name][0]
    for position in range(len(blob)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(blob)
            damaged[position] ^= flip
            assert 0 <= offset_of_refusal(bytes(damaged)) <= len(blob)


@pytest.mark.parametrize(
    ("blob", "refusal"),
    [
        (make_ed25519_blob(point=ED25519_POINT[:-1]), FieldUnfit),
        (make_ed25519_blob(point=ED25519_POINT + b"\0"), FieldUnfit),
        (make_ed25519_blob(point=(P + 3).to_bytes(32, "little")), PointNotOnCurve),
        (make_ed25519_blob(point=(2).to_bytes(32, "little")), PointNotOnCurve),
        (make_ed25519_blob(point=(1 + 2**255).to_bytes(32, "little")), PointNotOnCurve),
        (make_ecdsa_blob(curve=b"nistp384"), FieldUnfit),
        (make_ecdsa_blob(curve=b""), FieldUnfit),
        (make_ecdsa_blob(point=b""), PointNotOnCurve),
        (make_ecdsa_blob(point=b"\0"), PointNotOnCurve),
        (make_ecdsa_blob(point=P256_POINT[:-1] + b"\0"), PointNotOnCurve),
        (make_ecdsa_blob(point=b"\2" + P256_POINT[1:33]), PointNotOnCurve),
        (make_sk_ed25519_blob(application=b""), FieldUnfit),
        (make_sk_ed25519_blob(application=b"ssh:\0"), FieldUnfit),
        (make_sk_ecdsa_blob(application=b"\xff"), FieldUnfit),
        (make_rsa_blob(exponent=0), RsaNumbersUnfit),
        (make_rsa_blob(exponent=1), RsaNumbersUnfit),
        (make_rsa_blob(exponent=65536), RsaNumbersUnfit),
        (make_rsa_blob(exponent=65537, modulus=65537), RsaNumbersUnfit),
        (make_rsa_blob(modulus=1 << 2047), RsaNumbersUnfit),
        (make_rsa_blob(modulus=0), RsaNumbersUnfit),
        (write_string(b"ssh-rsa") + write_string(b"\0\1\0\1"), NumberNotCanonical),
        (write_string(b"ssh-rsa") + write_string(b"\x81"), NumberNotCanonical),
        (write_string(b"ssh-dss"), DsaRefused),
        (write_string(b"ssh-ed25519-cert-v01@openssh.com"), CertificateRefused),
        (write_string(b"x509v3-ssh-rsa"), CertificateRefused),
        (write_string(b"ssh-ed448"), UnknownType),
        (write_string(b""), TypeUnreadable),
        (write_string(b"ssh ed25519"), TypeUnreadable),
        (write_string(b"\xff" * 11), TypeUnreadable),
        (write_string(b"a" * 65), TypeUnreadable),
    ],
)
def test_one_bad_field_is_refused_by_name(blob: bytes, refusal: type[KeyRefused]) -> None:
    with pytest.raises(refusal):
        read_blob(blob)


@pytest.mark.parametrize("y", [0, 1, P - 1, ORDER_8, P - ORDER_8])
def test_points_with_which_anybody_can_sign_are_refused(y: int) -> None:
    with pytest.raises(PointWeak):
        read_blob(make_ed25519_blob(point=y.to_bytes(32, "little")))


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(UnknownType) as caught:
        read_blob(write_string(b"ssh-ed448") + write_string(b"?" * 57))
    assert caught.value.type == "ssh-ed448"


def test_offsets_go_through_locate() -> None:
    with pytest.raises(FieldUnfit) as caught:
        read_blob(make_ecdsa_blob(curve=b"nistp521"), locate=lambda index: index + 1000)
    assert caught.value.offset == 1000 + 4 + len(KeyType.ECDSA_256) + 4


def test_no_type_is_found_where_the_name_is_cut_off() -> None:
    assert type_in_blob(make_ed25519_blob()[:10]) is None
    assert type_in_blob(b"") is None
    assert type_in_blob(make_ed25519_blob()) == "ssh-ed25519"
