# SPDX-License-Identifier: Apache-2.0
"""Seal records: what they say, and how they lie in a lock file.

Shape:   lines of ``<sha256 of the JSON, 64 hex digits> <JSON, ASCII>``. The first is the seal;
         a later one names the directory that the epoch is being moved to. Lines are only ever
         added, each with one write and one fsync: a line that a kill cut short has a wrong
         digest, reads as if it were not there, and is cut off by the next writer. So a seal,
         once durable, can never be damaged by what is added to it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from nightdrop.core.epochs import Marker
from nightdrop.core.events import JSON

_DIGEST_HEX: Final = 64
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file of a sealed epoch; `name` is its path from the epoch on.

    `after_marker`: its last handle was closed after the marker was.
    """

    name: str
    size_bytes: int
    after_marker: bool

    def to_json(self) -> dict[str, JSON]:
        """Return the file as JSON. There may be 100,000, and somebody who waits."""
        return {
            "name": self.name,
            "size_bytes": self.size_bytes,
            "after_marker": self.after_marker,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBy:
    """Who caused a seal: `source` is sftp, auto, web, pull or api.

    `session_open`: the session goes on, and may still set times on what it sent.
    """

    source: str
    session: UUID | None
    fingerprint: str | None
    session_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRecord:
    """A sealed epoch: a delivery begins with this, and `id` is its identity.

    `sealed_at` is the time of the file system that holds the tree. `files` are in the order
    of their names and leave the markers out.
    """

    id: UUID
    district: UUID
    epoch: str
    sealed_at: datetime
    marker: Marker
    source: str
    session: UUID | None
    session_open: bool
    fingerprint: str | None
    files: tuple[SealedFile, ...]
    directories: tuple[str, ...]

    def to_json(self) -> dict[str, JSON]:
        """Return the record as JSON; `from_json` reads it back."""
        return {
            "id": str(self.id),
            "district": str(self.district),
            "epoch": self.epoch,
            "sealed_at": self.sealed_at.isoformat(),
            "marker": self.marker.value,
            "source": self.source,
            "session": None if self.session is None else str(self.session),
            "session_open": self.session_open,
            "fingerprint": self.fingerprint,
            "files": [file.to_json() for file in self.files],
            "directories": list(self.directories),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "SealRecord":
        """Read what `to_json` made.

        Raises:  KeyError, ValueError, TypeError for anything else.
        """
        session = facts["session"]
        return cls(
            id=UUID(facts["id"]),
            district=UUID(facts["district"]),
            epoch=facts["epoch"],
            sealed_at=datetime.fromisoformat(facts["sealed_at"]),
            marker=Marker(facts["marker"]),
            source=facts["source"],
            session=None if session is None else UUID(session),
            session_open=facts["session_open"],
            fingerprint=facts["fingerprint"],
            files=tuple(SealedFile(**file) for file in facts["files"]),
            directories=tuple(facts["directories"]),
        )


@dataclass(frozen=True, slots=True)
class StoredSeal:
    """What a lock file says: the seal, where it is being moved to, how much of it is sound."""

    record: SealRecord | None
    target: str | None
    sound_bytes: int


def read_stored(descriptor: int) -> StoredSeal:
    """Read a lock file; one without a sound first line is not sealed."""
    content = _read_all(descriptor)
    lines: list[dict[str, Any]] = []
    sound_bytes = 0
    for line in content.splitlines(keepends=True):
        payload = line[_DIGEST_HEX + 1 : -1]
        if line != _write_line(payload):
            break
        lines.append(json.loads(payload))
        sound_bytes += len(line)
    record = SealRecord.from_json(lines[0]) if lines else None
    target = lines[-1]["target"] if len(lines) > 1 else None
    return StoredSeal(record=record, target=target, sound_bytes=sound_bytes)


def add_seal(descriptor: int, record: SealRecord) -> None:
    """Make a lock file say that its epoch is sealed; durable on return, or not there at all."""
    _add_line(descriptor, record.to_json())


def add_target(descriptor: int, target: str) -> None:
    """Make the lock file of a sealed epoch say where that is being moved to."""
    _add_line(descriptor, {"target": target})


def _add_line(descriptor: int, facts: Mapping[str, JSON]) -> None:
    sound_bytes = read_stored(descriptor).sound_bytes
    line = _write_line(json.dumps(facts, separators=(",", ":")).encode("ascii"))
    os.ftruncate(descriptor, sound_bytes)
    try:
        written = os.pwrite(descriptor, line, sound_bytes)
        while written < len(line):
            written += os.pwrite(descriptor, line[written:], sound_bytes + written)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, sound_bytes)
        raise


def _write_line(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest().encode() + b" " + payload + b"\n"


def _read_all(descriptor: int) -> bytes:
    chunks: list[bytes] = []
    offset = 0
    while chunk := os.pread(descriptor, _READ_BYTES, offset):
        chunks.append(chunk)
        offset += len(chunk)
    return b"".join(chunks)
