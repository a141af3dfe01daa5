# SPDX-License-Identifier: Apache-2.0
import errno
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from nightdrop.core.epochs import Marker, NotAnEpochName
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import DiskFull, EpochSealed, NoSuchFile, NotSealed
from nightdrop.storage.records import SealedFile
from nightdrop.storage.seal import (
    SealRecord,
    SealWait,
    SealWaits,
    marked_epochs,
    marked_others,
    read_record,
    sealed_path,
    sealed_records,
    try_seal,
)
from storage.cast import (
    BY_SFTP,
    EPOCH,
    OTHER_EPOCH,
    STUDENTS,
    at,
    attempt_seal,
    begin,
    fetch,
    make_epoch,
    mode,
    seal,
    send,
    why_not,
)

E = f"/upload/{EPOCH}"


def test_a_seal_says_what_was_sealed(apple: DistrictTree) -> None:
    make_epoch(apple)
    before = datetime.now(UTC) - timedelta(seconds=1)
    outcome = try_seal(apple, EPOCH, seal_id=UUID(int=5), quiet_seconds=0, sealed_by=BY_SFTP)
    assert isinstance(outcome, SealRecord)
    assert outcome.id == UUID(int=5)
    assert outcome.district == apple.id
    assert outcome.epoch == EPOCH
    assert outcome.marker is Marker.COMPLETE
    assert (outcome.source, outcome.session, outcome.fingerprint, outcome.session_open) == (
        "sftp",
        UUID(int=7),
        "SHA256:x",
        True,
    )
    assert outcome.files == (SealedFile("students.csv", len(STUDENTS), after_marker=False),)
    assert outcome.directories == ()
    assert before < outcome.sealed_at < datetime.now(UTC) + timedelta(seconds=1)
    assert read_record(apple, EPOCH) == outcome
    assert list(sealed_records(apple)) == [outcome]
    assert SealRecord.from_json(outcome.to_json()) == outcome


CHANGES: dict[str, Callable[[DistrictTree], object]] = {
    "open": lambda tree: begin(tree, f"{E}/students.csv"),
    "open new": lambda tree: begin(tree, f"{E}/new.csv"),
    "open deeper": lambda tree: begin(tree, f"{E}/sub/new.csv"),
    "make": lambda tree: tree.make_directory(at(f"{E}/new")),
    "remove file": lambda tree: tree.remove_file(at(f"{E}/students.csv")),
    "remove directory": lambda tree: tree.remove_directory(at(f"{E}/sub")),
    "remove epoch": lambda tree: tree.remove_directory(at(E)),
    "rename": lambda tree: tree.rename(at(f"{E}/students.csv"), at(f"{E}/x"), replace=True),
    "take out": lambda tree: tree.rename(at(f"{E}/students.csv"), at("/upload/x"), replace=True),
    "put in": lambda tree: tree.rename(at("/upload/own"), at(f"{E}/x"), replace=True),
    "rename epoch": lambda tree: tree.rename(at(E), at("/upload/x"), replace=True),
    "replace epoch": lambda tree: tree.rename(at("/upload/own"), at(E), replace=True),
    "truncate": lambda tree: tree.truncate(at(f"{E}/students.csv"), 0),
}


def test_nothing_in_a_sealed_epoch_changes(apple: DistrictTree) -> None:
    make_epoch(apple)
    apple.make_directory(at(f"{E}/sub"))
    send(apple, "/upload/own")
    record = seal(apple)
    for change in CHANGES.values():
        with pytest.raises(EpochSealed) as refused:
            change(apple)
        assert (refused.value.epoch, refused.value.sealed_at) == (EPOCH, record.sealed_at)
    assert fetch(apple, f"{E}/students.csv") == STUDENTS


def test_times_in_a_sealed_epoch_are_answered_and_ignored(apple: DistrictTree) -> None:
    make_epoch(apple)
    seal(apple)
    before = apple.stat(at(f"{E}/students.csv"))
    apple.set_times(at(f"{E}/students.csv"), 1, 1)
    apple.set_times(at(E), 1, 1)
    assert apple.stat(at(f"{E}/students.csv")) == before


def test_modes_are_a_second_fence(apple: DistrictTree) -> None:
    make_epoch(apple)
    apple.make_directory(at(f"{E}/sub"))
    send(apple, f"{E}/sub/x")
    seal(apple)
    assert mode(apple, E) == mode(apple, f"{E}/sub") == 0o550
    for name in ("students.csv", "COMPLETE", "sub/x"):
        assert mode(apple, f"{E}/{name}") == 0o440
    assert not apple.stat(at(E)).is_writable
    assert not apple.stat(at(f"{E}/students.csv")).is_writable


def test_a_fence_that_is_missing_is_raised(apple: DistrictTree) -> None:
    make_epoch(apple)
    seal(apple)
    place = apple.place.path / "upload" / EPOCH
    for look in (lambda: list(sealed_records(apple)), lambda: attempt_seal(apple)):
        place.chmod(0o750)
        (place / "students.csv").chmod(0o640)
        look()
        assert mode(apple, E) == 0o550
        assert mode(apple, f"{E}/students.csv") == 0o440


def test_an_epoch_is_sealed_once(apple: DistrictTree) -> None:
    make_epoch(apple)
    record = seal(apple)
    assert attempt_seal(apple) == SealWaits(reason=SealWait.SEALED, record=record)


def test_a_marker_is_needed(apple: DistrictTree) -> None:
    assert why_not(apple) is SealWait.NO_MARKER
    apple.make_directory(at(E))
    send(apple, f"{E}/students.csv")
    assert why_not(apple) is SealWait.NO_MARKER
    send(apple, f"{E}/complete")
    apple.make_directory(at(f"{E}/sub"))
    send(apple, f"{E}/sub/COMPLETE")
    apple.make_directory(at(f"{E}/CHECK"))
    assert why_not(apple) is SealWait.NO_MARKER
    assert send(apple, f"{E}/COMPLETE").marker == EPOCH
    record = seal(apple)
    assert [file.name for file in record.files] == ["complete", "students.csv", "sub/COMPLETE"]
    assert record.directories == ("CHECK", "sub")


def test_a_file_is_no_epoch(apple: DistrictTree) -> None:
    send(apple, E)
    assert why_not(apple) is SealWait.NO_MARKER
    with pytest.raises(NotAnEpochName):
        attempt_seal(apple, "other")


def test_a_link_is_no_epoch(apple: DistrictTree, birch: DistrictTree) -> None:
    make_epoch(birch)
    (apple.place.path / "upload" / EPOCH).symlink_to(birch.place.path / "upload" / EPOCH)
    assert why_not(apple) is SealWait.NO_MARKER
    assert list(marked_epochs(apple)) == []


def test_check_wins(apple: DistrictTree) -> None:
    make_epoch(apple)
    assert send(apple, f"{E}/CHECK").marker == EPOCH
    record = seal(apple)
    assert record.marker is Marker.CHECK
    assert [file.name for file in record.files] == ["students.csv"]


def test_an_epoch_of_only_a_marker_seals(apple: DistrictTree) -> None:
    apple.make_directory(at(E))
    send(apple, f"{E}/COMPLETE")
    assert seal(apple).files == ()


def test_what_is_being_written_does_not_seal(apple: DistrictTree) -> None:
    make_epoch(apple)
    handle = begin(apple, f"{E}/guardians.csv")
    assert why_not(apple) is SealWait.BEING_WRITTEN
    handle.close()
    seal(apple)


def test_a_torn_file_keeps_an_epoch_from_sealing(apple: DistrictTree) -> None:
    make_epoch(apple)
    apple.make_directory(at(f"{E}/sub"))
    begin(apple, f"{E}/guardians.csv").abandon()
    begin(apple, f"{E}/sub/x").abandon()
    outcome = attempt_seal(apple)
    assert outcome == SealWaits(reason=SealWait.TORN, names=("guardians.csv", "sub/x"))
    send(apple, f"{E}/guardians.csv")
    apple.remove_file(at(f"{E}/sub/x"))
    seal(apple)


@pytest.mark.parametrize("bits", [0o600, 0o644, 0o660, 0o400, 0o750, 0o4640])
def test_only_the_exact_mode_means_whole(apple: DistrictTree, bits: int) -> None:
    make_epoch(apple)
    (apple.place.path / "upload" / EPOCH / "students.csv").chmod(bits)
    assert why_not(apple) is SealWait.TORN


def test_a_torn_marker_is_none_yet(apple: DistrictTree) -> None:
    apple.make_directory(at(E))
    begin(apple, f"{E}/COMPLETE").abandon()
    assert attempt_seal(apple) == SealWaits(reason=SealWait.TORN, names=("COMPLETE",))
    send(apple, f"{E}/COMPLETE")
    seal(apple)


def test_quiet_is_waited_for(apple: DistrictTree) -> None:
    make_epoch(apple)
    outcome = attempt_seal(apple, quiet_seconds=60)
    assert isinstance(outcome, SealWaits)
    assert outcome.reason is SealWait.QUIET
    assert 50 < outcome.remaining_seconds <= 60
    assert read_record(apple, EPOCH) is None


def test_quiet_comes_by_waiting(apple: DistrictTree) -> None:
    make_epoch(apple)
    deadline = time.monotonic() + 10
    waits = 0
    while isinstance(outcome := attempt_seal(apple, quiet_seconds=0.2), SealWaits):
        assert outcome.reason is SealWait.QUIET
        assert 0 < outcome.remaining_seconds <= 0.2
        assert time.monotonic() < deadline
        waits += 1
    assert waits


def test_old_times_of_a_client_do_not_feign_quiet(apple: DistrictTree) -> None:
    make_epoch(apple)
    for name in ("students.csv", "COMPLETE", ""):
        apple.set_times(at(f"{E}/{name}"), 1, 1)
    assert why_not_quiet(apple)


def test_new_times_of_a_client_do_not_keep_it_from_sealing(apple: DistrictTree) -> None:
    make_epoch(apple)
    far = int(time.time()) + 10_000
    apple.set_times(at(f"{E}/students.csv"), far, far)
    outcome = attempt_seal(apple, quiet_seconds=60)
    assert isinstance(outcome, SealWaits)
    assert outcome.remaining_seconds <= 60


def why_not_quiet(tree: DistrictTree) -> bool:
    outcome = attempt_seal(tree, quiet_seconds=60)
    return isinstance(outcome, SealWaits) and outcome.reason is SealWait.QUIET


def late(record: SealRecord) -> set[str]:
    return {file.name for file in record.files if file.after_marker}


def test_a_file_that_came_after_the_marker_is_known(apple: DistrictTree) -> None:
    make_epoch(apple)
    closed = send(apple, f"{E}/guardians.csv")
    assert closed.marker is None
    assert mode(apple, f"{E}/guardians.csv") == 0o641
    apple.rename(at(f"{E}/guardians.csv"), at(f"{E}/g.csv"), replace=False)
    assert late(seal(apple)) == {"g.csv"}


def test_one_that_was_sent_again_after_the_marker_came_after_it(apple: DistrictTree) -> None:
    make_epoch(apple)
    send(apple, f"{E}/students.csv")
    assert late(seal(apple)) == {"students.csv"}


def test_times_set_after_the_marker_make_nothing_late(apple: DistrictTree) -> None:
    """WinSCP and rclone set times after the last close."""
    make_epoch(apple)
    for name in ("students.csv", "COMPLETE"):
        apple.set_times(at(f"{E}/{name}"), 1, 1)
    assert late(seal(apple)) == set()


def test_a_marker_sent_again_makes_all_on_time(apple: DistrictTree) -> None:
    make_epoch(apple)
    send(apple, f"{E}/guardians.csv")
    assert send(apple, f"{E}/COMPLETE").marker == EPOCH
    assert late(seal(apple)) == set()


def test_a_file_that_closes_while_the_marker_is_open_is_on_time(apple: DistrictTree) -> None:
    apple.make_directory(at(E))
    marker = begin(apple, f"{E}/COMPLETE")
    send(apple, f"{E}/students.csv")
    assert marker.close().marker == EPOCH
    assert late(seal(apple)) == set()


def test_the_last_of_two_handles_completes_a_marker(apple: DistrictTree) -> None:
    apple.make_directory(at(E))
    first, second = begin(apple, f"{E}/COMPLETE"), begin(apple, f"{E}/COMPLETE")
    assert first.close().marker is None
    assert second.close().marker == EPOCH


def test_a_marker_outside_an_epoch_completes_nothing(apple: DistrictTree) -> None:
    apple.make_directory(at("/upload/other"))
    apple.make_directory(at(E))
    apple.make_directory(at(f"{E}/sub"))
    for text in ("/upload/COMPLETE", "/upload/other/COMPLETE", f"{E}/sub/COMPLETE"):
        assert send(apple, text).marker is None
    assert list(marked_epochs(apple)) == []
    assert list(marked_others(apple)) == ["other"]


def test_marked_epochs_are_those_that_wait(apple: DistrictTree) -> None:
    make_epoch(apple)
    make_epoch(apple, OTHER_EPOCH)
    begin(apple, f"/upload/{OTHER_EPOCH}/COMPLETE").abandon()
    assert set(marked_epochs(apple)) == {EPOCH, OTHER_EPOCH}
    seal(apple)
    assert list(marked_epochs(apple)) == [OTHER_EPOCH]


def test_a_seal_is_of_one_district(apple: DistrictTree, birch: DistrictTree) -> None:
    make_epoch(apple)
    make_epoch(birch)
    seal(apple)
    assert list(sealed_records(birch)) == []
    send(birch, f"{E}/students.csv", b"more")
    assert seal(birch).district == birch.id


def test_a_sealed_epoch_is_found(apple: DistrictTree) -> None:
    make_epoch(apple)
    with pytest.raises(NotSealed) as refused:
        sealed_path(apple, EPOCH)
    assert refused.value.epoch == EPOCH
    seal(apple)
    assert (sealed_path(apple, EPOCH) / "students.csv").read_bytes() == STUDENTS
    sealed_path(apple, EPOCH).chmod(0o750)
    sealed_path(apple, EPOCH).rename(apple.place.path / "away")
    with pytest.raises(NoSuchFile):
        sealed_path(apple, EPOCH)


def test_a_full_disk_seals_nothing(apple: DistrictTree, monkeypatch: pytest.MonkeyPatch) -> None:
    make_epoch(apple)

    original = os.pwrite

    def write_a_part(descriptor: int, data: bytes, offset: int) -> int:
        if offset:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(descriptor, data[:10], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", write_a_part)
        with pytest.raises(DiskFull):
            attempt_seal(apple)
    assert (apple.place.path / "locks" / EPOCH).stat().st_size == 0
    send(apple, f"{E}/more.csv")
    seal(apple)


def test_a_fence_that_cannot_be_raised_does_not_undo_a_seal(
    apple: DistrictTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_epoch(apple)

    def fail(_descriptor: int, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", fail)
        record = seal(apple)
    assert read_record(apple, EPOCH) == record
    assert mode(apple, E) == 0o750
    assert list(sealed_records(apple)) == [record]
    assert mode(apple, E) == 0o550
