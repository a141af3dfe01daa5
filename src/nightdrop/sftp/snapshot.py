# SPDX-License-Identifier: Apache-2.0
"""The key snapshot in use, and the copy on disk that outlives a restart without database.

Whoever reads the snapshot does so on the event loop and gets one reference, so that a
login is decided from one state of affairs; whoever replaces it is the feed's thread.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Final

from nightdrop.core.accounts import (
    Snapshot,
    SnapshotDamaged,
    read_snapshot,
    write_snapshot,
)

#: A copy whose accounts are current is still rewritten this often: its age decides, after a
#: restart, how long logins go on without the database.
_COPY_AGE: Final = timedelta(minutes=5)


class SnapshotHolder:
    """The newest snapshot, in memory and in `path` (0600)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._current: Snapshot | None = None
        self._copied: Snapshot | None = None

    @property
    def current(self) -> Snapshot | None:
        """The snapshot to decide from; None before the first one."""
        return self._current

    def load(self) -> None:
        """Take the copy on disk into use.

        Raises:  SnapshotDamaged; then there is no snapshot until the feed brings one.
        """
        try:
            found = read_snapshot(self._path.read_bytes())
        except FileNotFoundError:
            return
        self._current = self._copied = found

    def replace(self, snapshot: Snapshot) -> None:
        """Take `snapshot` into use, then copy it to disk if that is due.

        Raises:  OSError when the copy could not be written; the snapshot is in use anyway.
        """
        self._current = snapshot
        if self._is_copy_due(snapshot):
            self._copy(snapshot)

    def _is_copy_due(self, snapshot: Snapshot) -> bool:
        copied = self._copied
        return (
            copied is None
            or copied.accounts != snapshot.accounts
            or snapshot.taken_at - copied.taken_at >= _COPY_AGE
        )

    def _copy(self, snapshot: Snapshot) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Each process of this node writes its own, and the last one to finish wins.
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            file.write(write_snapshot(snapshot))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        self._copied = snapshot


__all__ = ["SnapshotDamaged", "SnapshotHolder"]
