# SPDX-License-Identifier: Apache-2.0
"""Headers of load balancers, against the words of HAProxy's proxy-protocol.txt."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nightdrop.core.proxy import (
    MAX_BLOCK_BYTES,
    MAX_HEADER_BYTES,
    ProxyHeader,
    ProxyHeaderBad,
    read_proxy_header,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GREETING = b"SSH-2.0-OpenSSH_9.2p1\r\n"
LONGEST_IPV6 = b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"


def binary(command: int, kind: int, block: bytes = b"") -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, kind, len(block)) + block


INET = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + struct.pack(">HH", 56324, 22)
INET6 = bytes.fromhex("20010db8" + "0" * 23 + "7" + "20010db8" + "0" * 24) + INET[8:]
VALUES = b"\x04\x00\x03abc\x20\x00\x00"

#: The header, whose it says the connection is.
VECTORS = [
    (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", ("192.168.0.1", 56324)),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ("255.255.255.255", 65535)),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", ("0.0.0.0", 0)),  # noqa: S104 - text
    (b"PROXY TCP6 2001:DB8::7 2001:db8::1 56324 22\r\n", ("2001:db8::7", 56324)),
    (
        b"PROXY TCP6 %b %b 65535 65535\r\n" % (LONGEST_IPV6, LONGEST_IPV6),
        (LONGEST_IPV6.decode(), 65535),
    ),
    (b"PROXY UNKNOWN\r\n", (None, None)),
    (b"PROXY UNKNOWN 192.168.0.1 192.168.0.11 56324 443\r\n", (None, None)),
    (b"PROXY UNKNOWN \xff what ever\r\n", (None, None)),
    (b"PROXY UNKNOWN %b %b 65535 65535\r\n" % (LONGEST_IPV6, LONGEST_IPV6), (None, None)),
    (binary(0x21, 0x11, INET), ("192.0.2.7", 56324)),
    (binary(0x21, 0x11, INET + VALUES), ("192.0.2.7", 56324)),
    (binary(0x21, 0x21, INET6), ("2001:db8::7", 56324)),
    (binary(0x21, 0x21, INET6.ljust(MAX_BLOCK_BYTES, b"\0")), ("2001:db8::7", 56324)),
    (binary(0x21, 0x12, INET), (None, None)),
    (binary(0x21, 0x31, b"/run/a".ljust(216, b"\0")), (None, None)),
    (binary(0x21, 0x00), (None, None)),
    (binary(0x21, 0x00, VALUES), (None, None)),
    (binary(0x20, 0x00), (None, None)),
    (binary(0x20, 0x11, INET), (None, None)),
    (binary(0x20, 0xFF, b"ignored"), (None, None)),
]

BAD = [
    (GREETING, "no-header"),
    (b"GET / HTTP/1.1\r\n", "no-header"),
    (b"proxy TCP4 192.0.2.7 192.0.2.1 1 1\r\n", "no-header"),
    (b"PROXY\r\n", "no-header"),
    (SIGNATURE[:-1] + b"\r", "no-header"),
    (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "line-too-long"),
    (b"PROXY TCP4" + b" " * 200, "line-too-long"),
    (b"PROXY \r\n", "line-malformed"),
    (b"PROXY UNKNOWNS\r\n", "line-malformed"),
    (b"PROXY TCP4\r\n", "line-malformed"),
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n", "line-malformed"),
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 1 \r\n", "line-malformed"),
    (b"PROXY TCP4  192.0.2.7 192.0.2.1 1 1\r\n", "line-malformed"),
    (b"PROXY TCP5 192.0.2.7 192.0.2.1 1 1\r\n", "line-malformed"),
    (b"PROXY UDP4 192.0.2.7 192.0.2.1 1 1\r\n", "line-malformed"),
    (b"PROXY TCP4 192.0.2.07 192.0.2.1 1 1\r\n", "address-malformed"),
    (b"PROXY TCP4 192.0.2.256 192.0.2.1 1 1\r\n", "address-malformed"),
    (b"PROXY TCP4 192.0.2.7 nowhere 1 1\r\n", "address-malformed"),
    (b"PROXY TCP4 2001:db8::7 2001:db8::1 1 1\r\n", "address-malformed"),
    (b"PROXY TCP4 192.0.2.\xb2 192.0.2.1 1 1\r\n", "address-malformed"),
    (b"PROXY TCP6 192.0.2.7 192.0.2.1 1 1\r\n", "address-malformed"),
    (b"PROXY TCP6 fe80::1%eth0 fe80::2 1 1\r\n", "address-malformed"),
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 1\r\n", "port-malformed"),
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 01\r\n", "port-malformed"),
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 -1 1\r\n", "port-malformed"),
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 1\n\r\n", "port-malformed"),
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 1\nSSH-2.0-x\r\n", "port-malformed"),
    (binary(0x11, 0x11, INET), "command-unknown"),
    (binary(0x22, 0x11, INET), "command-unknown"),
    (binary(0x31, 0x11, INET), "command-unknown"),
    (binary(0x21, 0x41, INET), "family-unknown"),
    (binary(0x21, 0x13, INET), "family-unknown"),
    (binary(0x21, 0x11, INET[:-1]), "block-too-short"),
    (binary(0x21, 0x21, INET), "block-too-short"),
    (binary(0x21, 0x11, b"\0" * (MAX_BLOCK_BYTES + 1)), "block-too-long"),
    (SIGNATURE + b"\x20\x00\xff\xff", "block-too-long"),
]


def judge(buffer: bytes) -> ProxyHeader | str | None:
    try:
        return read_proxy_header(buffer)
    except ProxyHeaderBad as bad:
        return bad.why


def judge_bytewise(buffer: bytes) -> ProxyHeader | str | None:
    """Return the first verdict when the bytes come one after another."""
    verdicts = (judge(buffer[:length]) for length in range(len(buffer) + 1))
    return next((verdict for verdict in verdicts if verdict is not None), None)


@pytest.mark.parametrize(("header", "expected"), VECTORS)
@pytest.mark.parametrize("greeting", [b"", GREETING, b"\r\n"])
def test_a_header_says_whose_the_connection_is(
    header: bytes, expected: tuple[str | None, int | None], greeting: bytes
) -> None:
    assert judge(header + greeting) == ProxyHeader(*expected, used_bytes=len(header))


@pytest.mark.parametrize(("header", "_expected"), VECTORS)
def test_a_part_of_a_header_is_waited_for(header: bytes, _expected: object) -> None:
    assert {judge(header[:length]) for length in range(len(header))} == {None}


@pytest.mark.parametrize(("bad", "why"), BAD)
def test_what_is_no_header_is_refused(bad: bytes, why: str) -> None:
    assert judge(bad) == why
    assert judge_bytewise(bad) == why
    assert judge(bad + GREETING) == why


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda rest: SIGNATURE + rest),
        st.builds(
            binary,
            st.sampled_from([0x20, 0x21, 0x22]),
            st.sampled_from([0x00, 0x11, 0x21, 0x31, 0x41]),
            st.binary(max_size=60),
        ),
        st.lists(
            st.sampled_from(
                [b"PROXY", b"TCP4", b"TCP6", b"UNKNOWN", b"192.0.2.7", b"::1", b"22", b"x", b"\r\n"]
            ),
            max_size=9,
        ).map(b" ".join),
        st.tuples(
            st.sampled_from([header for header, _ in VECTORS]), st.integers(0, 60), st.binary()
        ).map(lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]),
    )
)
@example(b"P")
@example(b"\r")
def test_how_the_bytes_are_cut_changes_nothing(buffer: bytes) -> None:
    assert judge_bytewise(buffer) == judge(buffer)


@given(st.sampled_from([b"", b"PROXY ", b"PROXY UNKNOWN ", SIGNATURE]), st.data())
def test_there_is_a_verdict_before_the_buffer_is_long(start: bytes, data: st.DataObject) -> None:
    rest = data.draw(st.binary(min_size=MAX_HEADER_BYTES, max_size=MAX_HEADER_BYTES))
    assert judge((start + rest)[:MAX_HEADER_BYTES]) is not None


def test_the_longest_line_of_the_specification_is_read_and_no_longer_one() -> None:
    line = b"PROXY UNKNOWN " + b"x" * 91
    assert judge(line + b"\r\n") == ProxyHeader(None, None, used_bytes=107)
    assert judge(line + b"x\r\n") == "line-too-long"
    assert judge(line + b"\r") is None
    assert judge(line + b"xx") == "line-too-long"
