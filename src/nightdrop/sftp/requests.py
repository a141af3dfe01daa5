# SPDX-License-Identifier: Apache-2.0
"""The requests of SFTP version 3 as values, and how they are read. Pure.

READLINK, SYMLINK, hardlink and copy-data are deliberately absent: only regular files and
directories exist here, and a copy made by the server would stop everybody for its length.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from nightdrop.sftp.packets import (
    MAX_OFFSET,
    U32,
    U64,
    AttributeFlag,
    Attributes,
    Kind,
    OpenFlag,
    PacketMalformed,
)


@dataclass(frozen=True, slots=True)
class Init:
    """The client's first packet, with the highest version that it speaks."""

    version: int


@dataclass(frozen=True, slots=True)
class Open:
    """Open a file. The attributes that come along are ignored."""

    path: bytes
    flags: OpenFlag


@dataclass(frozen=True, slots=True)
class Close:
    """Close a file or a directory."""

    handle: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """Read from a file."""

    handle: bytes
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Write:
    """Write into a file."""

    handle: bytes
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Stat:
    """STAT and LSTAT: the same, where there are no links."""

    path: bytes


@dataclass(frozen=True, slots=True)
class StatHandle:
    """FSTAT."""

    handle: bytes


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """SETSTAT."""

    path: bytes
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SetHandleAttributes:
    """FSETSTAT."""

    handle: bytes
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class OpenDirectory:
    """OPENDIR."""

    path: bytes


@dataclass(frozen=True, slots=True)
class ReadDirectory:
    """READDIR: the next page of names."""

    handle: bytes


@dataclass(frozen=True, slots=True)
class Remove:
    """REMOVE a file."""

    path: bytes


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """MKDIR. The attributes that come along are ignored."""

    path: bytes


@dataclass(frozen=True, slots=True)
class RemoveDirectory:
    """RMDIR."""

    path: bytes


@dataclass(frozen=True, slots=True)
class RealPath:
    """REALPATH: which absolute path is meant."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Rename:
    """RENAME, and posix-rename@openssh.com, which may replace what has the new name."""

    old: bytes
    new: bytes
    may_replace: bool = False


@dataclass(frozen=True, slots=True)
class Sync:
    """fsync@openssh.com."""

    handle: bytes


@dataclass(frozen=True, slots=True)
class StatSpace:
    """statvfs@openssh.com: how much room there is."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """limits@openssh.com."""


@dataclass(frozen=True, slots=True)
class HomeDirectory:
    """home-directory. Whose is not asked: a session sees one home."""


@dataclass(frozen=True, slots=True)
class ExpandPath:
    """expand-path@openssh.com: REALPATH that also knows ``~``."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A kind of packet, or an extension, that is not offered."""


Request = (
    Init
    | Open
    | Close
    | Read
    | Write
    | Stat
    | StatHandle
    | SetAttributes
    | SetHandleAttributes
    | OpenDirectory
    | ReadDirectory
    | Remove
    | MakeDirectory
    | RemoveDirectory
    | RealPath
    | Rename
    | Sync
    | StatSpace
    | Limits
    | HomeDirectory
    | ExpandPath
    | Unsupported
)


class _Fields:
    """Reads the fields of one packet in order; running out of bytes is PacketMalformed."""

    __slots__ = ("_at", "_packet")

    def __init__(self, packet: bytes, *, at: int) -> None:
        self._packet = packet
        self._at = at

    def u32(self) -> int:
        end = self._at + U32.size
        if end > len(self._packet):
            raise PacketMalformed
        (value,) = U32.unpack_from(self._packet, self._at)
        self._at = end
        return int(value)

    def u64(self) -> int:
        end = self._at + U64.size
        if end > len(self._packet):
            raise PacketMalformed
        (value,) = U64.unpack_from(self._packet, self._at)
        self._at = end
        return int(value)

    def offset(self) -> int:
        """Read a place in a file; where no byte can be, no request can be about."""
        value = self.u64()
        if value > MAX_OFFSET:
            raise PacketMalformed
        return value

    def string(self) -> bytes:
        end = self.u32() + self._at
        if end > len(self._packet):
            raise PacketMalformed
        value = self._packet[self._at : end]
        self._at = end
        return value

    def attributes(self) -> Attributes:
        """Read attributes; the extended ones are stepped over by whoever ignores the rest."""
        flags = self.u32()
        return Attributes(
            size_bytes=self.offset() if flags & AttributeFlag.SIZE else None,
            owner=(self.u32(), self.u32()) if flags & AttributeFlag.OWNER else None,
            permissions=self.u32() if flags & AttributeFlag.PERMISSIONS else None,
            times=(self.u32(), self.u32()) if flags & AttributeFlag.TIMES else None,
        )


#: Bits beyond those that version 3 knows (later versions' text mode and such) are dropped.
_KNOWN_OPEN_FLAGS: Final = sum(OpenFlag)

_EXTENSIONS: Final[Mapping[bytes, Callable[[_Fields], Request]]] = {
    b"posix-rename@openssh.com": lambda f: Rename(f.string(), f.string(), may_replace=True),
    b"fsync@openssh.com": lambda f: Sync(f.string()),
    b"statvfs@openssh.com": lambda f: StatSpace(f.string()),
    b"limits@openssh.com": lambda _: Limits(),
    b"home-directory": lambda _: HomeDirectory(),
    b"expand-path@openssh.com": lambda f: ExpandPath(f.string()),
}


def _extended(fields: _Fields) -> Request:
    read = _EXTENSIONS.get(fields.string())
    return read(fields) if read else Unsupported()


_READERS: Final[Mapping[int, Callable[[_Fields], Request]]] = {
    Kind.OPEN: lambda f: Open(f.string(), OpenFlag(f.u32() & _KNOWN_OPEN_FLAGS)),
    Kind.CLOSE: lambda f: Close(f.string()),
    Kind.READ: lambda f: Read(f.string(), f.offset(), f.u32()),
    Kind.WRITE: lambda f: Write(f.string(), f.offset(), f.string()),
    Kind.LSTAT: lambda f: Stat(f.string()),
    Kind.STAT: lambda f: Stat(f.string()),
    Kind.FSTAT: lambda f: StatHandle(f.string()),
    Kind.SETSTAT: lambda f: SetAttributes(f.string(), f.attributes()),
    Kind.FSETSTAT: lambda f: SetHandleAttributes(f.string(), f.attributes()),
    Kind.OPENDIR: lambda f: OpenDirectory(f.string()),
    Kind.READDIR: lambda f: ReadDirectory(f.string()),
    Kind.REMOVE: lambda f: Remove(f.string()),
    Kind.MKDIR: lambda f: MakeDirectory(f.string()),
    Kind.RMDIR: lambda f: RemoveDirectory(f.string()),
    Kind.REALPATH: lambda f: RealPath(f.string()),
    Kind.RENAME: lambda f: Rename(f.string(), f.string()),
    Kind.EXTENDED: _extended,
}


def read_request_id(packet: bytes) -> int:
    """Return the id that the reply to `packet` must carry; for INIT it is the version.

    Raises:  PacketMalformed for a packet too short to have one.
    """
    return _Fields(packet, at=1).u32()


def read_request(packet: bytes) -> Request:
    """Read one packet, without its length.

    Bytes left over at the end are ignored: extensions have grown fields before.

    Raises:  PacketMalformed.
    """
    if packet[:1] == bytes([Kind.INIT]):
        return Init(read_request_id(packet))
    read = _READERS.get(packet[0])
    return read(_Fields(packet, at=1 + U32.size)) if read else Unsupported()
