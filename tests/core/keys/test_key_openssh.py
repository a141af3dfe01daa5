# SPDX-License-Identifier: Apache-2.0
import base64

import pytest

from core.keys.key_lines import (
    make_ecdsa_blob,
    make_ed25519_blob,
    make_key_line,
    make_rsa_blob,
    vector,
)
from nightdrop.core.keys import (
    KeyRefused,
    openssh_line,
    read_authorized_keys,
    read_public_key,
)
from nightdrop.core.keys.detect import MAXIMUM_SIZE_BYTES
from nightdrop.core.keys.errors import (
    Base64Damaged,
    CertificateRefused,
    DsaRefused,
    KeyFileTooLarge,
    NotAKey,
    OptionsWithoutKey,
    SeveralKeys,
    TextBeforeKey,
    TrailingBytes,
    Truncated,
    TypeMismatch,
    UnknownType,
)
from nightdrop.core.keys.wire import write_string

BLOB = make_ed25519_blob()
BODY = base64.b64encode(BLOB).decode()
ED448 = write_string(b"ssh-ed448") + write_string(b"?" * 57)


def test_a_line_without_a_fault_is_read() -> None:
    key = read_public_key(make_key_line())
    assert (key.type, key.bits, key.blob) == ("ssh-ed25519", 256, BLOB)
    assert key.comment == "night@applegrove.org"
    assert openssh_line(key).encode() + b"\n" == make_key_line()


def test_a_line_without_comment_is_written_without_a_blank() -> None:
    assert openssh_line(read_public_key(make_key_line(comment=""))) == f"ssh-ed25519 {BODY}"


@pytest.mark.parametrize(
    ("line", "refusal", "offset"),
    [
        (b"", NotAKey, 0),
        (b"\n \n\t\n", NotAKey, 0),
        (b"Please find our key attached.", NotAKey, 0),
        (b"# " + make_key_line(), NotAKey, 0),
        (make_key_line(body=BODY[:-8]), Truncated, 12 + 60),
        (make_key_line(body=""), Base64Damaged, 12 + len("night")),
        (make_key_line(body="", comment=""), Truncated, 12),
        (make_key_line(body=BODY[:20] + "!" + BODY[21:]), Base64Damaged, 12 + 20),
        (make_key_line(body="A!" + BODY[2:]), Base64Damaged, 12 + 1),
        (make_key_line(body=BODY + "AAAA"), TrailingBytes, 12 + 68),
        (make_key_line(body=BODY + "A"), Base64Damaged, 12 + 68),
        (make_key_line(body=BODY + "="), Base64Damaged, 12 + 68),
        (make_key_line(named="ssh-rsa"), TypeMismatch, 8),
        (make_key_line(named="ssh-foo"), TypeMismatch, 8),
        (make_key_line(named="ssh-dss", blob=write_string(b"ssh-dss")), DsaRefused, 13),
        (make_key_line(named="ssh-ed448", blob=ED448), UnknownType, 15),
        (b"My key: " + make_key_line(), TextBeforeKey, 0),
        (b"Hello\n  1. " + make_key_line(), TextBeforeKey, 8),
        (b"key: " + BODY.encode(), TextBeforeKey, 0),
        (b"restrict\n", OptionsWithoutKey, 0),
        (b'Hi,\nfrom="192.0.2.1"\n\nThanks', OptionsWithoutKey, 4),
    ],
)
def test_a_fault_is_named_with_its_place(
    line: bytes, refusal: type[KeyRefused], offset: int
) -> None:
    with pytest.raises(refusal) as caught:
        read_public_key(line)
    assert type(caught.value) is refusal
    assert caught.value.offset == offset


def test_bits_that_must_be_zero_are_looked_at() -> None:
    blob = make_ecdsa_blob()
    body = base64.b64encode(blob).decode()
    assert body.endswith("=")
    last = body.rstrip("=")[-1]
    other = chr(ord(last) + 1)
    line = make_key_line(named="ecdsa-sha2-nistp256", body=body.replace(last + "=", other + "="))
    with pytest.raises(Base64Damaged) as caught:
        read_public_key(line)
    assert caught.value.offset == line.index(b"=") - 1


def test_padding_may_be_missing() -> None:
    blob = make_ecdsa_blob()
    body = base64.b64encode(blob).decode().rstrip("=")
    assert read_public_key(make_key_line(named="ecdsa-sha2-nistp256", body=body)).blob == blob


def test_offsets_count_the_bytes_of_what_was_given() -> None:
    line = make_key_line(named="ssh-rsa").decode()
    with pytest.raises(TypeMismatch) as caught:
        read_public_key(("\ufeffGrüße,\r\n> " + line).encode())
    assert caught.value.offset == 3 + len("Grüße,".encode()) + 2 + 2 + 8
    assert (caught.value.named, caught.value.found) == ("ssh-rsa", "ssh-ed25519")


@pytest.mark.parametrize("prose", ["Thanks", "Thanks\nBob", "AAAA"])
def test_prose_is_not_mistaken_for_the_rest_of_a_cut_off_key(prose: str) -> None:
    for lost in (2, 3, 7, 30):
        with pytest.raises(Truncated):
            read_public_key(f"ssh-ed25519 {BODY[:-lost]}\n{prose}\n-- \n".encode())


def test_prose_may_speak_of_keys() -> None:
    prose = b"\nThis is an ssh-ed25519 key, better than ssh-rsa\nssh-rsa is old\n"
    assert read_public_key(b"Our key, not ssh-dss:\n" + make_key_line() + prose).blob == BLOB


def test_several_keys_are_counted() -> None:
    first, second = make_key_line(), vector("rsa2048.rfc4716")
    with pytest.raises(SeveralKeys) as caught:
        read_public_key(first + second + vector("ecdsa256.pem"))
    assert (caught.value.count, caught.value.offset) == (3, len(first))


def test_all_keys_of_a_file_are_read_in_order() -> None:
    text = b"# night\n" + make_key_line() + b"\n# old\n#" + make_key_line() + vector("rsa3072.pub")
    assert [key.bits for key in read_authorized_keys(text)] == [256, 3072]
    assert read_authorized_keys(b"# nobody yet\n") == ()


def test_a_fault_in_the_second_key_is_a_fault() -> None:
    with pytest.raises(Truncated):
        read_authorized_keys(make_key_line() + make_key_line(body=BODY[:-4]))


def test_more_text_than_keys_need_is_refused() -> None:
    with pytest.raises(KeyFileTooLarge) as caught:
        read_public_key(b" " * MAXIMUM_SIZE_BYTES + make_key_line())
    assert caught.value.limit_bytes == MAXIMUM_SIZE_BYTES


def test_many_short_lines_are_read_in_a_moment() -> None:
    text = b"ssh-rsa AAAAB3NzaC1yc2EAAAAD\n" + b"AQ\n" * 80_000
    with pytest.raises(Truncated):
        read_public_key(text)


@pytest.mark.parametrize(
    ("block", "refusal"),
    [
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", CertificateRefused),
        (b"-----BEGIN DSA PUBLIC KEY-----\n", DsaRefused),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQIN\n", UnknownType),
    ],
)
def test_a_block_that_is_no_ssh_key_is_named(block: bytes, refusal: type[KeyRefused]) -> None:
    with pytest.raises(refusal):
        read_public_key(block)


def test_a_long_rsa_key_is_read_whatever_policy_says_later() -> None:
    line = make_key_line(named="ssh-rsa", blob=make_rsa_blob(bits=16385))
    assert read_public_key(line).bits == 16385
