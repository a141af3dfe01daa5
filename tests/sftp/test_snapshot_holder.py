# SPDX-License-Identifier: Apache-2.0
"""The snapshot in use, and its copy on disk."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from nightdrop.core.accounts import Account, Snapshot, SnapshotDamaged, read_snapshot
from nightdrop.sftp.snapshot import SnapshotHolder

NOW = datetime(2026, 11, 23, 2, 14, 7, tzinfo=UTC)
APPLE = Account(UUID(int=1), "applegrove.org")


def snapshot(*accounts: Account, minutes: int = 0) -> Snapshot:
    return Snapshot.of(*accounts, taken_at=NOW + timedelta(minutes=minutes))


def test_there_is_none_at_first(tmp_path: Path) -> None:
    holder = SnapshotHolder(tmp_path / "snapshot" / "keys.json")
    holder.load()
    assert holder.current is None


def test_the_copy_is_private_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "snapshot" / "keys.json"
    SnapshotHolder(path).replace(snapshot(APPLE))
    assert path.stat().st_mode & 0o777 == 0o600
    again = SnapshotHolder(path)
    again.load()
    assert again.current == snapshot(APPLE)


def test_the_copy_is_written_for_changes_and_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    holder = SnapshotHolder(path)
    holder.replace(snapshot(APPLE))
    for minutes, accounts, copied in ((1, (APPLE,), 0), (2, (), 2), (3, (), 2), (7, (), 7)):
        newest = snapshot(*accounts, minutes=minutes)
        holder.replace(newest)
        assert holder.current == newest
        assert read_snapshot(path.read_bytes()).taken_at == NOW + timedelta(minutes=copied)


def test_a_copy_that_cannot_be_written_does_not_keep_the_snapshot_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    holder = SnapshotHolder(tmp_path / "file" / "keys.json")
    with pytest.raises(OSError, match=r"exists|directory"):
        holder.replace(snapshot(APPLE))
    assert holder.current == snapshot(APPLE)


def test_a_damaged_copy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(b"{")
    with pytest.raises(SnapshotDamaged):
        SnapshotHolder(path).load()
