# SPDX-License-Identifier: Apache-2.0
"""The replies of SFTP version 3, as whole packets ready to be sent. Pure."""

import struct
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from stat import S_IFDIR, S_IFREG, filemode
from typing import Final

from nightdrop.core.paths import MAX_NAME_BYTES
from nightdrop.sftp.packets import (
    MAX_DATA_BYTES,
    MAX_PACKET_BYTES,
    U32,
    U64,
    VERSION,
    AttributeFlag,
    Kind,
    Status,
)
from nightdrop.storage.district import Space
from nightdrop.storage.entries import Entry

#: Handles that one session may have open at a time; told to clients by limits@openssh.com.
MAX_HANDLES: Final = 64

_HEAD: Final = struct.Struct(">IBI")
_ATTRIBUTES: Final = struct.Struct(">IQIIIII")
_SHOWN: Final = (
    AttributeFlag.SIZE | AttributeFlag.OWNER | AttributeFlag.PERMISSIONS | AttributeFlag.TIMES
)
#: Clients want an owner; everything belongs to the same one.
_OWNER_ID: Final = 1000
_OWNER_NAME: Final = "nightdrop"
_GROUP_NAME: Final = "district"
#: Version 3 has 32 bits for a time, unsigned.
_LAST_TIME: Final = 2**32 - 1
#: `ls` shows the year in place of the time of day beyond this age.
_RECENT_SECONDS: Final = 182 * 24 * 3600
#: Clocks differ; a time a little ahead is no year away.
_SKEW_SECONDS: Final = 60
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun",
                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # fmt: skip

#: What statvfs@openssh.com counts in, and calls our one file system.
_BLOCK_BYTES: Final = 4096
_FILE_SYSTEM_ID: Final = 1
#: Flags of statvfs@openssh.com.
_READ_ONLY: Final = 0x1
_NO_SETUID: Final = 0x2

EXTENSIONS: Final[Mapping[bytes, bytes]] = {
    b"posix-rename@openssh.com": b"1",
    b"fsync@openssh.com": b"1",
    b"statvfs@openssh.com": b"2",
    b"limits@openssh.com": b"1",
    b"home-directory": b"1",
    b"expand-path@openssh.com": b"1",
}


def _packet(kind: Kind, request_id: int, *body: bytes) -> bytes:
    size_bytes = 1 + U32.size + sum(map(len, body))
    return _HEAD.pack(size_bytes, kind, request_id) + b"".join(body)


def _string(value: bytes) -> bytes:
    return U32.pack(len(value)) + value


def write_version() -> bytes:
    """Answer INIT: the version spoken, and the extensions with theirs."""
    pairs = (_string(name) + _string(version) for name, version in EXTENSIONS.items())
    return _packet(Kind.VERSION, VERSION, *pairs)


def write_status(request_id: int, status: Status, sentence: str) -> bytes:
    """Answer with a code and a sentence for the person in front of the client."""
    return _packet(
        Kind.STATUS, request_id, U32.pack(status), _string(sentence.encode()), _string(b"en")
    )


def write_handle(request_id: int, handle: bytes) -> bytes:
    """Answer OPEN and OPENDIR."""
    return _packet(Kind.HANDLE, request_id, _string(handle))


def write_data(request_id: int, data: bytes) -> bytes:
    """Answer READ."""
    return _packet(Kind.DATA, request_id, U32.pack(len(data)), data)


def write_attributes(request_id: int, entry: Entry) -> bytes:
    """Answer STAT, LSTAT and FSTAT."""
    return _packet(Kind.ATTRS, request_id, _attributes(entry))


def write_names(request_id: int, entries: Iterable[Entry], *, now: datetime) -> bytes:
    """Answer READDIR."""
    names = [
        _string(entry.name.encode())
        + _string(write_long_name(entry, now=now).encode())
        + _attributes(entry)
        for entry in entries
    ]
    return _packet(Kind.NAME, request_id, U32.pack(len(names)), *names)


def write_path(request_id: int, path: str) -> bytes:
    """Answer REALPATH and its like: one name with no attributes."""
    name = _string(path.encode())
    return _packet(Kind.NAME, request_id, U32.pack(1), name, name, U32.pack(0))


def write_space(request_id: int, space: Space, *, is_writable: bool) -> bytes:
    """Answer statvfs@openssh.com, as if the space were a file system of its own.

    Source:  OpenSSH's PROTOCOL, section 4.4.
    """
    total, free = space.total, space.free
    blocks, free_blocks = total.size_bytes // _BLOCK_BYTES, free.size_bytes // _BLOCK_BYTES
    fields = (
        *(_BLOCK_BYTES, _BLOCK_BYTES, blocks, free_blocks, free_blocks),
        *(total.files, free.files, free.files),
        *(_FILE_SYSTEM_ID, _NO_SETUID | (0 if is_writable else _READ_ONLY), MAX_NAME_BYTES),
    )
    return _packet(Kind.EXTENDED_REPLY, request_id, *map(U64.pack, fields))


def write_limits(request_id: int) -> bytes:
    """Answer limits@openssh.com: packet, read and write lengths, and open handles."""
    limits = (MAX_PACKET_BYTES, MAX_DATA_BYTES, MAX_DATA_BYTES, MAX_HANDLES)
    return _packet(Kind.EXTENDED_REPLY, request_id, *map(U64.pack, limits))


def write_long_name(entry: Entry, *, now: datetime) -> str:
    """Write the line that ``ls -l`` shows.

    Shape:   ``-rw-r--r--    1 nightdrop district      1234 Nov 23 19:05 students.csv``; for
             what is older than half a year, or in the future, the year in place of the time.
    Units:   UTC.
    Source:  draft-ietf-secsh-filexfer-02, section 7.
    """
    at = datetime.fromtimestamp(_seconds(entry.mtime), UTC)
    age = (now - at).total_seconds()
    is_recent = -_SKEW_SECONDS <= age < _RECENT_SECONDS
    clock = f"{at:%H:%M}" if is_recent else f"{at.year:5d}"
    links = 2 if entry.is_directory else 1
    return (
        f"{filemode(mode_of(entry))} {links:4d} {_OWNER_NAME:<8} {_GROUP_NAME:<8}"
        f" {entry.size_bytes:8d} {_MONTHS[at.month - 1]} {at.day:2d} {clock} {entry.name}"
    )


def mode_of(entry: Entry) -> int:
    """Return kind and permission bits: 0755 and 0644 where writable, 0555 and 0444 where not."""
    if entry.is_directory:
        return S_IFDIR | (0o755 if entry.is_writable else 0o555)
    return S_IFREG | (0o644 if entry.is_writable else 0o444)


def _attributes(entry: Entry) -> bytes:
    return _ATTRIBUTES.pack(
        _SHOWN,
        entry.size_bytes,
        _OWNER_ID,
        _OWNER_ID,
        mode_of(entry),
        _seconds(entry.atime),
        _seconds(entry.mtime),
    )


def _seconds(time: int) -> int:
    """Fit a time into the field that version 3 has for it."""
    return min(max(time, 0), _LAST_TIME)
