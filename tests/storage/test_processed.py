# SPDX-License-Identifier: Apache-2.0
from uuid import UUID, uuid4

import pytest

from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import NoSuchFile, NotSealed
from nightdrop.storage.processed import move_to_processed, processed_path
from nightdrop.storage.seal import SealRecord, read_record, sealed_records
from storage.cast import (
    EPOCH,
    STUDENTS,
    at,
    attempt_seal,
    fetch,
    lock_names,
    make_epoch,
    mode,
    names,
    seal,
    send,
)

E = f"/upload/{EPOCH}"
REPORTS = {"REPORT.txt": b"all is well", "report.json": b"{}", "findings.csv": b""}


def test_an_epoch_moves_with_its_reports(apple: DistrictTree) -> None:
    make_epoch(apple)
    record = seal(apple)
    name = move_to_processed(apple, record.id, record, reports=REPORTS)
    assert name == EPOCH
    assert names(apple, "/upload") == set()
    moved = f"/upload-processed/{EPOCH}"
    assert names(apple, moved) == {"students.csv", "COMPLETE", *REPORTS}
    assert fetch(apple, f"{moved}/students.csv") == STUDENTS
    assert fetch(apple, f"{moved}/REPORT.txt") == b"all is well"
    assert mode(apple, moved) == 0o550
    assert mode(apple, f"{moved}/REPORT.txt") == 0o440
    assert not apple.stat(at(moved)).is_writable
    assert (processed_path(apple, name) / "students.csv").read_bytes() == STUDENTS
    assert lock_names(apple) == set()
    assert list(sealed_records(apple)) == []


def test_once_more_says_the_same(apple: DistrictTree) -> None:
    make_epoch(apple)
    record = seal(apple)
    assert move_to_processed(apple, record.id, record, reports=REPORTS) == EPOCH
    assert read_record(apple, EPOCH) is None
    for known in (record, None):
        assert move_to_processed(apple, record.id, known, reports=REPORTS) == EPOCH


def test_a_name_that_is_taken_is_numbered(apple: DistrictTree) -> None:
    moved: dict[str, SealRecord] = {}
    for expected in (EPOCH, f"{EPOCH}-2", f"{EPOCH}-3"):
        make_epoch(apple)
        record = seal(apple)
        assert move_to_processed(apple, record.id, record, reports={}) == expected
        moved[expected] = record
    assert names(apple, "/upload-processed") == set(moved)
    for name, record in moved.items():
        assert move_to_processed(apple, record.id, None, reports={}) == name


def test_the_name_is_free_for_another_epoch(apple: DistrictTree) -> None:
    make_epoch(apple)
    first = seal(apple)
    move_to_processed(apple, first.id, first, reports={})
    make_epoch(apple)
    second = seal(apple)
    assert second.id != first.id
    # Whoever asks for the first one once more does not move the second.
    assert move_to_processed(apple, first.id, second, reports={}) == EPOCH
    assert names(apple, "/upload") == {EPOCH}


def test_reports_leave_uploaded_names_alone(apple: DistrictTree) -> None:
    apple.make_directory(at(E))
    apple.make_directory(at(f"{E}/findings.csv"))
    send(apple, f"{E}/REPORT.txt", b"mine")
    send(apple, f"{E}/report.json", b"mine")
    send(apple, f"{E}/report-2.json", b"mine")
    send(apple, f"{E}/COMPLETE")
    record = seal(apple)
    move_to_processed(apple, record.id, record, reports={**REPORTS, "COMPLETE": b"no"})
    moved = f"/upload-processed/{EPOCH}"
    assert fetch(apple, f"{moved}/REPORT.txt") == b"mine"
    assert fetch(apple, f"{moved}/REPORT-2.txt") == b"all is well"
    assert fetch(apple, f"{moved}/report-3.json") == b"{}"
    assert names(apple, f"{moved}/findings.csv") == set()
    assert "findings-2.csv" in names(apple, moved)
    assert fetch(apple, f"{moved}/COMPLETE-2") == b"no"
    assert fetch(apple, f"{moved}/COMPLETE") == b""


def test_a_directory_in_an_epoch_moves_with_it(apple: DistrictTree) -> None:
    make_epoch(apple)
    apple.make_directory(at(f"{E}/sub"))
    send(apple, f"{E}/sub/x", b"x")
    record = seal(apple)
    move_to_processed(apple, record.id, record, reports=REPORTS)
    assert fetch(apple, f"/upload-processed/{EPOCH}/sub/x") == b"x"


def test_what_is_not_sealed_does_not_move(apple: DistrictTree, birch: DistrictTree) -> None:
    make_epoch(apple)
    with pytest.raises(NotSealed):
        move_to_processed(apple, uuid4(), None, reports={})
    record = seal(apple)
    with pytest.raises(NotSealed):
        move_to_processed(apple, uuid4(), record, reports={})
    with pytest.raises(NotSealed):
        move_to_processed(birch, record.id, record, reports={})
    assert names(apple, "/upload") == {EPOCH}


def test_an_epoch_that_somebody_took_away_is_missed(apple: DistrictTree) -> None:
    make_epoch(apple)
    record = seal(apple)
    place = apple.place.path / "upload" / EPOCH
    place.chmod(0o750)
    place.rename(apple.place.path / "away")
    with pytest.raises(NoSuchFile):
        move_to_processed(apple, record.id, record, reports={})


def test_a_name_that_leads_nowhere_is_refused(apple: DistrictTree) -> None:
    with pytest.raises(NoSuchFile):
        processed_path(apple, EPOCH)


def test_a_moved_epoch_is_not_sealed_again(apple: DistrictTree) -> None:
    make_epoch(apple)
    record = seal(apple)
    move_to_processed(apple, record.id, record, reports={})
    assert not isinstance(attempt_seal(apple), SealRecord)
    assert lock_names(apple) == set()


def test_records_of_moved_epochs_are_kept(apple: DistrictTree) -> None:
    make_epoch(apple)
    record = seal(apple)
    move_to_processed(apple, record.id, record, reports={})
    kept = [path.name for path in (apple.place.path / "moved").iterdir()]
    assert [UUID(name) for name in kept] == [record.id]
