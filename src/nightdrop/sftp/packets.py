# SPDX-License-Identifier: Apache-2.0
"""What requests and replies of SFTP version 3 have in common. Pure: no files, no sockets.

Source: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL for ``@openssh.com`` extensions.
Shape:  a packet is ``uint32 length, byte kind, uint32 id, ...``; the two that open a session
        carry a version in place of the id. All integers are big-endian; a string is
        ``uint32 length, bytes``.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from nightdrop.core.errors import Refusal

VERSION: Final = 3
#: What one READ returns and one WRITE carries at most; told to clients by limits@openssh.com.
MAX_DATA_BYTES: Final = 255 * 1024
#: The longest packet that is accepted: the longest WRITE with its header, handle and offset.
MAX_PACKET_BYTES: Final = 256 * 1024

#: The last offset at which a whole WRITE still lies within a file that the system can have.
MAX_OFFSET: Final = 2**63 - 1 - MAX_PACKET_BYTES

U32: Final = struct.Struct(">I")
U64: Final = struct.Struct(">Q")


class Kind(IntEnum):
    """The first byte of a packet."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(IntEnum):
    """The code of a STATUS reply. Version 3 has few."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8


class OpenFlag(IntFlag):
    """What OPEN asks for."""

    READ = 0x01
    WRITE = 0x02
    APPEND = 0x04
    CREATE = 0x08
    TRUNCATE = 0x10
    EXCLUSIVE = 0x20


class AttributeFlag(IntFlag):
    """Which attributes follow, in this order."""

    SIZE = 0x00000001
    OWNER = 0x00000002
    PERMISSIONS = 0x00000004
    TIMES = 0x00000008
    EXTENDED = 0x80000000


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of a file; what is None was not sent. `times` are (access, modification)."""

    size_bytes: int | None = None
    owner: tuple[int, int] | None = None
    permissions: int | None = None
    times: tuple[int, int] | None = None


class PacketRefused(Refusal):
    """The stream cannot be read on after a packet that claims `size_bytes`."""

    code = "sftp-packet-refused"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes


class PacketMalformed(Refusal):
    """A packet's body is not what its kind says; the stream itself is still in step."""

    code = "sftp-packet-malformed"


def take_packet(buffer: bytearray) -> bytes | None:
    """Take the first whole packet, without its length, out of `buffer`.

    Returns: None while the packet has not arrived whole.
    Raises:  PacketRefused for one that is empty or longer than any honest request.
    """
    if len(buffer) < U32.size:
        return None
    (size_bytes,) = U32.unpack_from(buffer)
    if not 0 < size_bytes <= MAX_PACKET_BYTES:
        raise PacketRefused(size_bytes)
    end = U32.size + size_bytes
    if len(buffer) < end:
        return None
    packet = bytes(memoryview(buffer)[U32.size : end])
    del buffer[:end]
    return packet
