# SPDX-License-Identifier: Apache-2.0
"""Seal records on disk: whatever a kill leaves of one, it is read as all of it or none."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from nightdrop.core.epochs import Marker
from nightdrop.storage.records import (
    SealedFile,
    SealRecord,
    add_seal,
    add_target,
    read_stored,
)

RECORD = SealRecord(
    id=UUID(int=1),
    district=UUID(int=2),
    epoch="20260928-021400",
    sealed_at=datetime(2026, 9, 28, 2, 14, 7, 5, tzinfo=UTC),
    marker=Marker.CHECK,
    source="web",
    session=None,
    session_open=False,
    fingerprint=None,
    files=(SealedFile("Ämter\\n.csv", 12, after_marker=True),),
    directories=("sub",),
)


@pytest.fixture
def lock_file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def content_of(descriptor: int) -> bytes:
    return os.pread(descriptor, 1 << 20, 0)


def put(descriptor: int, content: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)


def test_a_record_comes_back(lock_file: int) -> None:
    assert read_stored(lock_file).record is None
    add_seal(lock_file, RECORD)
    stored = read_stored(lock_file)
    assert (stored.record, stored.target) == (RECORD, None)
    add_target(lock_file, "a")
    add_target(lock_file, "b")
    stored = read_stored(lock_file)
    assert (stored.record, stored.target) == (RECORD, "b")
    assert SealRecord.from_json(RECORD.to_json()) == RECORD


def test_a_cut_seal_is_no_seal_and_is_overwritten(lock_file: int) -> None:
    add_seal(lock_file, RECORD)
    whole = content_of(lock_file)
    for length in range(len(whole)):
        put(lock_file, whole[:length])
        assert read_stored(lock_file).record is None
        add_seal(lock_file, RECORD)
        assert content_of(lock_file) == whole


def test_what_lies_behind_what_is_sound_is_cut_off(lock_file: int) -> None:
    put(lock_file, b"x" * 10_000)
    add_seal(lock_file, RECORD)
    sealed = content_of(lock_file)
    assert len(sealed) < 10_000
    put(lock_file, sealed + b"x" * 10_000)
    add_target(lock_file, "a")
    assert len(content_of(lock_file)) < 10_000


def test_a_cut_target_leaves_the_seal(lock_file: int) -> None:
    add_seal(lock_file, RECORD)
    sealed = len(content_of(lock_file))
    add_target(lock_file, "20260928-021400-2")
    whole = content_of(lock_file)
    for length in range(sealed, len(whole)):
        put(lock_file, whole[:length])
        stored = read_stored(lock_file)
        assert (stored.record, stored.target) == (RECORD, None)
        add_target(lock_file, "20260928-021400-2")
        assert content_of(lock_file) == whole


def test_a_changed_byte_is_no_seal(lock_file: int) -> None:
    add_seal(lock_file, RECORD)
    whole = content_of(lock_file)
    for place in range(len(whole)):
        put(lock_file, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_stored(lock_file).record is None


def test_a_record_longer_than_one_read_comes_back(lock_file: int) -> None:
    files = tuple(SealedFile(f"{n:060}", n, after_marker=False) for n in range(20_000))
    record = SealRecord.from_json({**RECORD.to_json(), "files": []})
    record = SealRecord(
        **{name: getattr(record, name) for name in record.__slots__ if name != "files"},
        files=files,
    )
    add_seal(lock_file, record)
    assert read_stored(lock_file).record == record
