# SPDX-License-Identifier: Apache-2.0
"""The committed vectors; their README says which tool made each."""

import pytest

from core.keys.key_lines import VECTORS, vector, vector_blob
from nightdrop.core.keys import KeyRefused, openssh_line, read_public_key
from nightdrop.core.keys.errors import CertificateRefused, DsaRefused

REFUSED = {"dsa.pub": DsaRefused, "certified-cert.pub": CertificateRefused}
FINGERPRINTS = {
    name: (int(bits), sha256, md5)
    for name, bits, sha256, md5 in (
        line.split() for line in vector("fingerprints.txt").decode().splitlines()
    )
}
LINES = sorted(FINGERPRINTS.keys() - REFUSED.keys())
OTHER_FORMS = sorted(path.name for path in VECTORS.iterdir() if path.suffix in {".rfc4716", ".pem"})
#: Cutting more than this from its end takes away more than the END line.
END_LINE_BYTES = len("---- END SSH2 PUBLIC KEY ----\n")


def offset_of_refusal(data: bytes) -> int:
    """Return where a text is refused; 0 too where a key is read from it."""
    try:
        read_public_key(data)
    except KeyRefused as refused:
        return refused.offset
    return 0


@pytest.mark.parametrize("name", LINES)
def test_a_line_is_read_as_ssh_keygen_reads_it(name: str) -> None:
    key = read_public_key(vector(name))
    assert (key.bits, key.fingerprint, key.md5) == FINGERPRINTS[name]
    assert openssh_line(key).encode() + b"\n" == vector(name)


@pytest.mark.parametrize("name", [name for name in OTHER_FORMS if name != "ed25519_openssl.pem"])
def test_another_form_is_the_same_key(name: str) -> None:
    stem = name.split(".", maxsplit=1)[0]
    assert read_public_key(vector(name)).blob == vector_blob(f"{stem}.pub")


def test_an_ed25519_key_in_pem_is_read() -> None:
    key = read_public_key(vector("ed25519_openssl.pem"))
    assert (key.type, key.comment) == ("ssh-ed25519", "")


def test_the_comment_of_rfc_4716_is_kept_without_its_quotes() -> None:
    assert read_public_key(vector("putty_ed25519.rfc4716")).comment == "putty key"


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_kind_is_refused_by_name(name: str) -> None:
    with pytest.raises(REFUSED[name]):
        read_public_key(vector(name))


def test_the_certificate_names_its_type() -> None:
    with pytest.raises(CertificateRefused) as caught:
        read_public_key(vector("certified-cert.pub"))
    assert caught.value.type == "ssh-ed25519-cert-v01@openssh.com"


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_cut_anywhere_in_its_key_is_refused(name: str) -> None:
    line = vector(name)
    unpadded_end = len(b" ".join(line.split()[:2]).rstrip(b"="))
    for size in range(unpadded_end):
        with pytest.raises(KeyRefused) as caught:
            read_public_key(line[:size])
        assert caught.value.offset <= size
    assert read_public_key(line[:unpadded_end]).blob == vector_blob(name)


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_a_block_that_is_cut_anywhere_before_its_last_line_is_refused(name: str) -> None:
    block = vector(name)
    for size in range(len(block) - END_LINE_BYTES):
        with pytest.raises(KeyRefused) as caught:
            read_public_key(block[:size])
        assert caught.value.offset <= size


@pytest.mark.parametrize(
    "name", ["ed25519.pub", "ecdsa256.pub", "ecdsa256.rfc4716", "ecdsa256.pem"]
)
def test_any_one_wrong_character_gives_a_refusal_or_a_key(name: str) -> None:
    text = vector(name)
    for position in range(len(text)):
        for wrong in b"\x00A!=\n\xff-":
            damaged = text[:position] + bytes([wrong]) + text[position + 1 :]
            assert 0 <= offset_of_refusal(damaged) <= len(text)
