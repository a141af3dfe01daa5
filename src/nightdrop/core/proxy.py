# SPDX-License-Identifier: Apache-2.0
"""The header that a load balancer puts before a connection to say whose it is.

Versions 1 and 2 are read. Whether a peer may send one, and what follows when it does not, is
decided in `sftp.door`. Deliberately absent: the meaning of the additional values of version 2;
they are stepped over.

Source: "The PROXY protocol, versions 1 & 2", W. Tarreau, HAProxy's doc/proxy-protocol.txt;
        numbers in the comments are its sections.
"""

import re
import struct
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import ClassVar, Final

from nightdrop.core.errors import Refusal

#: The longest line of version 1, its end included (2.1).
MAX_LINE_BYTES: Final = 107
#: What may follow the first 16 bytes of version 2. The addresses need 216 at most; balancers
#: add some hundred bytes of values.
MAX_BLOCK_BYTES: Final = 2048
#: No header is longer.
MAX_HEADER_BYTES: Final = 16 + MAX_BLOCK_BYTES

_LINE_START: Final = b"PROXY "
_LINE_END: Final = b"\r\n"
_UNKNOWN: Final = b"UNKNOWN"
_FIELDS: Final = 6
_PORT: Final = re.compile(rb"0|[1-9][0-9]{0,4}")
_LAST_PORT: Final = 65535

#: string signature (12 bytes), byte version and command, byte family and transport, uint16 length
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = struct.Struct(">12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC, _INET, _INET6, _UNIX = range(4)
_STREAM, _DGRAM = 1, 2
#: source address, destination address, source port, destination port
_INET_BLOCK: Final = struct.Struct(">4s4sHH")
_INET6_BLOCK: Final = struct.Struct(">16s16sHH")


class ProxyHeaderBad(Refusal):
    """What came first on a connection is no header; `why` is a slug for the log."""

    code: ClassVar[str] = "proxy-header-bad"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A whole header.

    `source` and `port` are the client's; None when the header names nobody, as that of a health
    check does: then the connection is the balancer's own. `used_bytes` is its length.
    """

    source: str | None
    port: int | None
    used_bytes: int


def read_proxy_header(buffer: bytes) -> ProxyHeader | None:
    """Read the header at the beginning of what has arrived.

    Returns: None when more must arrive first, which never happens at MAX_HEADER_BYTES or more.
    Raises:  ProxyHeaderBad, as soon as that is certain.
    """
    if buffer.startswith(_SIGNATURE[: len(buffer)]):
        return _read_binary(buffer) if len(buffer) > len(_SIGNATURE) else None
    if buffer.startswith(_LINE_START[: len(buffer)]):
        return _read_line(buffer)
    raise ProxyHeaderBad("no-header")


def _read_line(buffer: bytes) -> ProxyHeader | None:
    """Read version 1 (2.1): ``PROXY TCP4 source destination source-port destination-port``."""
    end = buffer.find(_LINE_END, 0, MAX_LINE_BYTES)
    if end < 0:
        if len(buffer) >= MAX_LINE_BYTES:
            raise ProxyHeaderBad("line-too-long")
        return None
    used_bytes = end + len(_LINE_END)
    fields = buffer[:end].split(b" ")
    family = fields[1]
    if family == _UNKNOWN:
        return ProxyHeader(None, None, used_bytes)
    if family not in {b"TCP4", b"TCP6"} or len(fields) != _FIELDS:
        raise ProxyHeaderBad("line-malformed")
    source, _ = (_read_address(field, is_ipv6=family == b"TCP6") for field in fields[2:4])
    port, _ = (_read_port(field) for field in fields[4:6])
    return ProxyHeader(source, port, used_bytes)


def _read_address(field: bytes, *, is_ipv6: bool) -> str:
    try:
        text = field.decode("ascii")
        if not is_ipv6:
            return str(IPv4Address(text))
        if "%" not in text:
            return str(IPv6Address(text))
    except (UnicodeDecodeError, AddressValueError):
        pass
    raise ProxyHeaderBad("address-malformed")


def _read_port(field: bytes) -> int:
    if _PORT.fullmatch(field) is None or int(field) > _LAST_PORT:
        raise ProxyHeaderBad("port-malformed")
    return int(field)


def _read_binary(buffer: bytes) -> ProxyHeader | None:
    """Read version 2 (2.2). Each byte is judged as soon as it is there."""
    command = buffer[12]
    if command not in {_LOCAL, _PROXY}:
        raise ProxyHeaderBad("command-unknown")
    if len(buffer) > len(_SIGNATURE) + 1 and command == _PROXY:
        family, transport = divmod(buffer[13], 16)
        if family > _UNIX or transport > _DGRAM:
            raise ProxyHeaderBad("family-unknown")
    if len(buffer) < _FIXED.size:
        return None
    _, _, kind, block_bytes = _FIXED.unpack_from(buffer)
    if block_bytes > MAX_BLOCK_BYTES:
        raise ProxyHeaderBad("block-too-long")
    used_bytes = _FIXED.size + block_bytes
    if len(buffer) < used_bytes:
        return None
    if command == _PROXY:
        block = buffer[_FIXED.size : used_bytes]
        if kind == _INET << 4 | _STREAM:
            return ProxyHeader(*_read_block(block, _INET_BLOCK, IPv4Address), used_bytes)
        if kind == _INET6 << 4 | _STREAM:
            return ProxyHeader(*_read_block(block, _INET6_BLOCK, IPv6Address), used_bytes)
    return ProxyHeader(None, None, used_bytes)


def _read_block(
    block: bytes, shape: struct.Struct, kind: type[IPv4Address | IPv6Address]
) -> tuple[str, int]:
    if len(block) < shape.size:
        raise ProxyHeaderBad("block-too-short")
    source, _, port, _ = shape.unpack_from(block)
    return str(kind(source)), port
