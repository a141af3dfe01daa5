# SPDX-License-Identifier: Apache-2.0
"""Whatever is given, the answer is keys or a named refusal."""

from hypothesis import given
from hypothesis import strategies as st

from core.keys.key_lines import make_key_line, make_rsa_blob, vector
from nightdrop.core.keys import (
    KeyRefused,
    PublicKey,
    openssh_line,
    read_authorized_keys,
    read_public_key,
)

PIECES = (
    make_key_line(),
    make_key_line(named="ssh-rsa", blob=make_rsa_blob()),
    vector("putty_ed25519.rfc4716"),
    vector("ecdsa256.pem"),
    b"ssh-ed25519 ",
    b'from="192.0.2.0/24",no-pty ',
    b'expiry-time="20270630Z" ',
    b'command="\\"',
    b"-----BEGIN PUBLIC KEY-----",
    b"---- END SSH2 PUBLIC KEY ----",
    b"AAAA",
    b"AAAAC3NzaC1lZDI1NTE5",
    b"Comment: a\\\n",
    b"\n",
    b"\r\n> ",
    b'"',
    b"=",
    b"\xff\xfe",
    b"\0",
)


def keys_of(data: bytes) -> tuple[PublicKey, ...]:
    try:
        return read_authorized_keys(data)
    except KeyRefused:
        return ()


def check_read(data: bytes) -> None:
    for key in keys_of(data):
        again = read_public_key(openssh_line(key).encode())
        assert (again.blob, again.comment, again.type) == (key.blob, key.comment, key.type)


@given(st.binary(max_size=2000))
def test_any_bytes_are_answered(data: bytes) -> None:
    check_read(data)


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=12))
def test_any_mixture_of_pieces_is_answered(pieces: list[bytes]) -> None:
    check_read(b"".join(pieces))


@given(data=st.data(), piece=st.sampled_from(PIECES[:4]))
def test_a_damaged_key_is_answered(data: st.DataObject, piece: bytes) -> None:
    start = data.draw(st.integers(0, len(piece)))
    end = data.draw(st.integers(start, min(start + 20, len(piece))))
    check_read(piece[:start] + data.draw(st.binary(max_size=20)) + piece[end:])
