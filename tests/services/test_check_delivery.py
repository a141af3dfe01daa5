# SPDX-License-Identifier: Apache-2.0
"""What a check makes of a delivery, and what becomes of one whose check does not end."""

import hashlib
from contextlib import ExitStack
from datetime import UTC, datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from fix_district import moment
from fix_night import CLEAN, NEXT_EPOCH, Files, Nights, forget_jobs, night_of, race, tasks_of
from fix_roster import student
from nightdrop.core.delivery.machine import Event, State
from nightdrop.core.delivery.schedule import next_night
from nightdrop.core.epochs import Marker
from nightdrop.db.access import OPERATOR, in_district
from nightdrop.db.models import Delivery, District, Guardian, StoredFinding, Student
from nightdrop.services import checks
from nightdrop.services.deliveries import move, record_seal
from nightdrop.services.queue import Job

STUDENTS = CLEAN["students.csv"]
HTML = "<!DOCTYPE html><html><body><h1>Your session has expired</h1></body></html>"
MANY = [student(str(number)) for number in range(100)]


def test_a_clean_delivery_is_ready(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    forget_jobs()
    assert nights.check(delivery)
    found = nights.delivery(delivery)
    assert (found.state, found.format, found.attempts) == (State.READY, "generic", 0)
    assert nights.moves(delivery)[1:] == [
        ("sealed", "start-check", "checking"),
        ("checking", "pass", "ready"),
    ]
    assert tasks_of(delivery) == [Job.LOAD]
    assert found.due_at is not None
    assert found.due_at <= moment()
    assert found.finding_counts == {"blocking": 0, "error": 0, "remark": 0}


def test_what_was_read_is_kept_of_each_file(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    nights.check(delivery)
    content = {name: str(text).encode() for name, text in CLEAN.items()}
    assert nights.delivery(delivery).files == [
        {
            "name": name,
            "size_bytes": len(content[name]),
            "sha256": hashlib.sha256(content[name]).hexdigest(),
            "rows": 2,
        }
        for name in ("guardians.csv", "students.csv")
    ]


def test_a_ready_delivery_gives_what_was_read(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    with ExitStack() as scratch:
        bundle = checks.check_delivery(
            district=nights.district,
            delivery_id=delivery,
            tree=nights.tree,
            clock=moment,
            scratch=scratch,
        )
        assert bundle is not None
        assert {name: file.rows for name, file in bundle.tables.items()} == {
            "students": 2,
            "guardians": 2,
        }


def test_faulty_rows_are_reported_and_the_rest_is_ready(nights: Nights) -> None:
    delivery = nights.receive(night_of([*MANY, student("100", Gender="other")]))
    assert nights.check(delivery)
    found = nights.delivery(delivery)
    with in_district(nights.district):
        rows = list(StoredFinding.objects.filter(delivery_id=delivery))
    (fault,) = rows
    assert (fault.severity, fault.file, fault.line, fault.column) == (
        "error",
        "students.csv",
        102,
        "Gender",
    )
    assert found.finding_counts == {"blocking": 0, "error": 1, "remark": 0}
    (group,) = found.finding_groups
    assert (group["code"], group["count"], group["first_lines"]) == (fault.code, 1, [102])


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"students.csv": HTML}, "not-csv"),
        ({"students.csv": ""}, "empty-file"),
        ({"students.csv": "Student Id,Last Name\n1,Sawyer\n"}, "missing-column"),
        ({"guardians.csv": CLEAN["guardians.csv"]}, "guardians-without-students"),
        ({"students.csv": STUDENTS, "STUDENTS.csv": STUDENTS}, "two-files-for-one-table"),
        ({}, "only-marker"),
    ],
)
def test_a_blocking_finding_rejects(nights: Nights, files: Files, code: str) -> None:
    delivery = nights.receive(files)
    forget_jobs()
    assert not nights.check(delivery)
    found = nights.delivery(delivery)
    assert found.state == State.REJECTED
    assert code in nights.findings(delivery)
    assert found.finding_counts["blocking"] >= 1
    assert len(nights.findings(delivery)) == sum(found.finding_counts.values())
    assert tasks_of(delivery) == [Job.FINISH]
    assert not nights.load(delivery)


def test_mostly_faulty_rows_reject(nights: Nights) -> None:
    faulty = [student(str(number), Gender="other") for number in range(100, 120)]
    delivery = nights.receive(night_of([*MANY, *faulty]))
    assert not nights.check(delivery)
    found = nights.delivery(delivery)
    assert found.state == State.REJECTED
    assert found.finding_counts["error"] == 20


def test_files_that_nobody_knows_are_left_for_the_operator(nights: Nights) -> None:
    delivery = nights.receive({"staff.csv": "Id\n1\n", "photo.jpg": b"\xff\xd8\xff"})
    forget_jobs()
    assert not nights.check(delivery)
    found = nights.delivery(delivery)
    assert (found.state, found.format) == (State.UNRECOGNISED, None)
    assert tasks_of(delivery) == [Job.FINISH]
    assert nights.upload_directory().is_dir()


@pytest.mark.parametrize(
    ("files", "would"),
    [
        (CLEAN, "loaded"),
        (night_of([*MANY, student("100", Gender="other")]), "loaded"),
        ({"students.csv": HTML}, "rejected"),
        ({"staff.csv": "Id\n1\n"}, "unrecognised"),
        ({}, "rejected"),
    ],
)
def test_a_dry_run_says_what_would_become_of_it(nights: Nights, files: Files, would: str) -> None:
    delivery = nights.receive(files, marker=Marker.CHECK)
    forget_jobs()
    assert not nights.check(delivery)
    found = nights.delivery(delivery)
    assert (found.state, found.would) == (State.CHECKED, would)
    assert tasks_of(delivery) == [Job.FINISH]


def test_a_dry_run_is_never_loaded(nights: Nights) -> None:
    delivery = nights.receive(CLEAN, marker=Marker.CHECK)
    nights.check(delivery)
    assert not nights.load(delivery)
    assert not nights.check(delivery)
    with in_district(nights.district):
        assert not Student.objects.exists()
        assert not Guardian.objects.exists()


def test_a_file_that_came_after_the_marker_is_remarked(nights: Nights) -> None:
    nights.send({"students.csv": STUDENTS})
    nights.put("20260928-021400/guardians.csv", CLEAN["guardians.csv"])
    record = nights.seal()
    assert record_seal(record, settle_seconds=60)
    delivery = record.id
    assert nights.check(delivery)
    assert nights.delivery(delivery).late_files == ["guardians.csv"]
    with in_district(nights.district):
        (remark,) = StoredFinding.objects.filter(delivery_id=delivery)
    assert (remark.code, remark.severity, remark.file) == (
        "marker-not-last",
        "remark",
        "guardians.csv",
    )


def test_an_epoch_that_is_no_time_is_remarked(nights: Nights) -> None:
    delivery = nights.receive(CLEAN, epoch="20200101-139029")
    assert nights.check(delivery)
    assert nights.findings(delivery) == ["epoch-name-no-time"]


def test_a_nightly_district_waits_for_its_night(nights: Nights) -> None:
    with in_district(nights.district):
        mine = District.objects.get(id=nights.district)
    mine.mode, mine.nightly_at = District.Mode.NIGHTLY, time(2, 30)
    mine.save(using=OPERATOR)
    delivery = nights.receive(CLEAN)
    before = moment()
    nights.check(delivery)
    found = nights.delivery(delivery)
    assert found.due_at is not None
    assert found.due_at > before
    assert found.due_at == next_night(before, zone=ZoneInfo("America/New_York"), at=time(2, 30))


def test_today_is_the_districts_own(nights: Nights) -> None:
    """It is the 3rd in UTC and still the 2nd in New York: born on the 3rd is not yet born."""
    rows = [student("1", Date_of_Birth="2026-09-02"), student("2", Date_of_Birth="2026-09-03")]
    delivery = nights.receive(night_of([*rows, *MANY[10:]]))
    with ExitStack() as scratch:
        checks.check_delivery(
            district=nights.district,
            delivery_id=delivery,
            tree=nights.tree,
            clock=lambda: datetime(2026, 9, 3, 2, tzinfo=UTC),
            scratch=scratch,
        )
    with in_district(nights.district):
        (fault,) = StoredFinding.objects.filter(delivery_id=delivery)
    assert (fault.line, fault.column) == (3, "Date of Birth")


def test_a_delivery_is_checked_once(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    assert nights.check(delivery)
    assert not nights.check(delivery)
    assert len(nights.moves(delivery)) == 3


def test_of_checkers_at_once_one_gets_it(nights: Nights) -> None:
    delivery = nights.receive(night_of([*MANY, student("100", Gender="other")]))
    results = race(*[lambda: nights.check(delivery)] * 3)
    assert sorted(results) == [False, False, True]
    assert [event for _, event, _ in nights.moves(delivery)].count("pass") == 1
    assert len(nights.findings(delivery)) == 1


def test_a_check_that_died_is_taken_up_again(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    _start_check(nights, delivery)
    assert nights.check(delivery)
    assert nights.moves(delivery)[1:] == [
        ("sealed", "start-check", "checking"),
        ("checking", "resume", "checking"),
        ("checking", "pass", "ready"),
    ]


def test_findings_of_a_check_that_is_done_again_replace_the_former(nights: Nights) -> None:
    delivery = nights.receive(night_of([*MANY, student("100", Gender="other")]))
    nights.check(delivery)
    nights.change(delivery, state=State.CHECKING)
    nights.check(delivery)
    assert len(nights.findings(delivery)) == 1


def test_a_check_that_never_ends_fails_after_three_attempts(nights: Nights) -> None:
    """The files are gone from below it, which no check can survive."""
    delivery = nights.receive(CLEAN)
    nights.upload_directory().chmod(0o700)
    nights.upload_directory().rename(nights.files.place.path / "elsewhere")
    for attempt in (1, 2, 3):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it is, it counts
            nights.check(delivery)
        assert nights.delivery(delivery).attempts == attempt
    forget_jobs()
    assert not nights.check(delivery)
    assert nights.delivery(delivery).state == State.FAILED
    assert nights.moves(delivery)[-1] == ("checking", "break", "failed")
    assert tasks_of(delivery) == [Job.FINISH]
    assert not nights.check(delivery), "it is for the operator now"


def test_a_failed_check_keeps_nobody_waiting(nights: Nights) -> None:
    failed = nights.receive(CLEAN)
    nights.change(failed, state=State.CHECKING, attempts=checks.MAX_ATTEMPTS)
    later = nights.receive(CLEAN, epoch=NEXT_EPOCH)
    assert nights.check(later)
    assert not nights.load(later), "the earlier one is still on its way"
    assert not nights.check(failed)
    assert nights.load(later)


def test_a_worker_declared_dead_leaves_nothing(nights: Nights) -> None:
    """It read the files, and meanwhile somebody else decided."""
    delivery = nights.receive(night_of([*MANY, student("100", Gender="other")]))

    def clock() -> datetime:
        if nights.delivery(delivery).state == State.CHECKING:
            with in_district(nights.district):
                move(nights.delivery(delivery), Event.BREAK, now=moment())
        return moment()

    with ExitStack() as scratch:
        bundle = checks.check_delivery(
            district=nights.district,
            delivery_id=delivery,
            tree=nights.tree,
            clock=clock,
            scratch=scratch,
        )
    assert bundle is None
    assert nights.delivery(delivery).state == State.FAILED
    assert nights.findings(delivery) == []


def test_the_stranger_finds_no_such_delivery(nights: Nights, strangers_nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    with pytest.raises(Delivery.DoesNotExist):
        strangers_nights.check(delivery)


def _start_check(nights: Nights, delivery: UUID) -> None:
    with in_district(nights.district):
        assert move(nights.delivery(delivery), Event.START_CHECK, now=moment(), attempts=1)
