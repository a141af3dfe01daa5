# SPDX-License-Identifier: Apache-2.0
"""Which paths a client may name, and what may be done where.

A path is read once, at the edge, by `read_path`; every decision after that uses the
`ServedPath` it returned, so that no two layers can understand one path differently. Whether an
epoch is sealed is not known here: that is on disk, see `storage.locks`.
"""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from nightdrop.core.errors import Refusal

#: Parts of a path, the served directory included.
MAX_DEPTH: Final = 16
#: Bytes of one name, as file systems have it.
MAX_NAME_BYTES: Final = 255

_FIXED_PARTS: Final = 1


class Zone(StrEnum):
    """The parts of what a district sees; each value is the name of the directory."""

    #: ``/`` itself, which holds exactly the other three.
    ROOT = ""
    #: Where a district writes.
    UPLOAD = "upload"
    #: Where its epochs are when they are done with.
    PROCESSED = "upload-processed"
    #: Where exports are left for it.
    DOWNLOAD = "download"


#: The names of the three served directories.
SERVED: Final = frozenset({Zone.UPLOAD, Zone.PROCESSED, Zone.DOWNLOAD})


class Act(StrEnum):
    """What a client may want to do with a path."""

    LIST = "list"
    STAT = "stat"
    READ = "read"
    WRITE = "write"
    MAKE_DIRECTORY = "make-directory"
    REMOVE = "remove"
    RENAME = "rename"
    SET_ATTRIBUTES = "set-attributes"


#: Acts that change nothing and are allowed everywhere.
_HARMLESS: Final = frozenset({Act.LIST, Act.STAT, Act.READ})


@dataclass(frozen=True, slots=True)
class ServedPath:
    """A place in what a district sees: ``()`` is ``/``, ``("upload", "x")`` is ``/upload/x``.

    Made by `read_path`, `child` and `parent`. A part that could mean another place than one
    entry of a directory is an error of ours, not a refusal.
    """

    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        for part in self.parts:
            if part in {"", ".", ".."} or "/" in part or "\0" in part:
                message = f"no name of one entry: {part!r}"
                raise ValueError(message)

    @property
    def zone(self) -> Zone:
        """The served directory that this is or lies in."""
        return Zone(self.parts[0]) if self.parts else Zone.ROOT

    @property
    def top(self) -> str | None:
        """The name of the entry directly below ``/upload`` that this is or lies in."""
        return self.parts[1] if self.is_movable and self.zone is Zone.UPLOAD else None

    @property
    def is_movable(self) -> bool:
        """Whether this is neither ``/`` nor one of the three served directories."""
        return len(self.parts) > _FIXED_PARTS

    @property
    def name(self) -> str:
        """The last part; empty for ``/``."""
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> "ServedPath":
        """The directory this lies in; ``/`` is its own."""
        return ServedPath(self.parts[:-1])

    @property
    def text(self) -> str:
        """The path as its owner writes it."""
        return "/" + "/".join(self.parts)

    def child(self, name: str) -> "ServedPath":
        """Return the entry `name` of this directory."""
        return ServedPath((*self.parts, name))


class PathRefused(Refusal):
    """A path that cannot be served; `raw` is what the client sent."""

    code: ClassVar[str] = "path-refused"

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw


class PathNotUtf8(PathRefused):
    """The name is not UTF-8 from byte `offset` on."""

    code: ClassVar[str] = "path-not-utf8"

    def __init__(self, raw: bytes, *, offset: int) -> None:
        super().__init__(raw)
        self.offset = offset


class PathHasNul(PathRefused):
    """The name has a zero byte in it."""

    code: ClassVar[str] = "path-has-nul"


class PathHasControl(PathRefused):
    """The name has a control character in it; `character` is that."""

    code: ClassVar[str] = "path-has-control"

    def __init__(self, raw: bytes, *, character: str) -> None:
        super().__init__(raw)
        self.character = character


class NameTooLong(PathRefused):
    """One name in the path is longer than MAX_NAME_BYTES; `size_bytes` is its length."""

    code: ClassVar[str] = "name-too-long"

    def __init__(self, raw: bytes, *, size_bytes: int) -> None:
        super().__init__(raw)
        self.size_bytes = size_bytes


class PathTooDeep(PathRefused):
    """The path has more than MAX_DEPTH parts."""

    code: ClassVar[str] = "path-too-deep"


class PathEscapes(PathRefused):
    """The path goes above ``/``."""

    code: ClassVar[str] = "path-escapes"


class NoSuchTop(PathRefused):
    """The path begins with `name`, which is none of the three served directories."""

    code: ClassVar[str] = "no-such-top"

    def __init__(self, raw: bytes, *, name: str) -> None:
        super().__init__(raw)
        self.name = name


class ReadOnlyPlace(Refusal):
    """Something was to be changed in `zone`, where a district only reads."""

    code: ClassVar[str] = "read-only-place"

    def __init__(self, path: ServedPath, zone: Zone) -> None:
        super().__init__(path, zone)
        self.path = path
        self.zone = zone


class FixedPlace(Refusal):
    """``/`` and the three served directories stay as they are."""

    code: ClassVar[str] = "fixed-place"

    def __init__(self, path: ServedPath) -> None:
        super().__init__(path)
        self.path = path


def read_path(raw: bytes) -> ServedPath:
    r"""Read a path as a client sent it; the only place that does.

    Shape:   UTF-8; ``//``, ``.`` and ``..`` mean what they mean on the command line; a path
             without a leading ``/`` starts at ``/``, and so does the empty one. A backslash is
             a character like any other, and no Unicode form is changed into another.
    Returns: ServedPath, which names `/`, or something in one of the three directories.
    Raises:  PathNotUtf8, PathHasNul, PathHasControl, NameTooLong, PathTooDeep, PathEscapes,
             NoSuchTop; each carries `raw`.
    """
    text = _read_text(raw)
    parts: list[str] = []
    for part in text.split("/"):
        if part in {"", "."}:
            continue
        if part == "..":
            if not parts:
                raise PathEscapes(raw)
            parts.pop()
            continue
        if len(part.encode()) > MAX_NAME_BYTES:
            raise NameTooLong(raw, size_bytes=len(part.encode()))
        if len(parts) == MAX_DEPTH:
            raise PathTooDeep(raw)
        parts.append(part)
    if parts and parts[0] not in SERVED:
        raise NoSuchTop(raw, name=parts[0])
    return ServedPath(tuple(parts))


def _read_text(raw: bytes) -> str:
    if b"\0" in raw:
        raise PathHasNul(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError as fault:
        raise PathNotUtf8(raw, offset=fault.start) from None
    for character in text:
        if unicodedata.category(character) == "Cc":
            raise PathHasControl(raw, character=character)
    return text


def check_allowed(act: Act, path: ServedPath) -> None:
    """Check that a district may do this there, sealed epochs apart.

    Raises:  FixedPlace, ReadOnlyPlace.
    """
    if act in _HARMLESS:
        return
    if not path.is_movable:
        raise FixedPlace(path)
    if path.zone is not Zone.UPLOAD:
        raise ReadOnlyPlace(path, path.zone)
