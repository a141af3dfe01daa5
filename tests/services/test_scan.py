# SPDX-License-Identifier: Apache-2.0
"""The scan finds what a lost report, journal, process or job has left behind."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
import structlog

from fix_district import moment
from fix_night import (
    BY_SFTP,
    CLEAN,
    EPOCH,
    NEXT_EPOCH,
    Nights,
    forget_jobs,
    jobs,
    race,
    start_job,
    tasks_of,
)
from nightdrop.core.delivery.machine import State
from nightdrop.core.epochs import Marker
from nightdrop.core.quota import Amount
from nightdrop.services import scan
from nightdrop.services.deliveries import list_deliveries
from nightdrop.services.queue import Job
from nightdrop.storage.seal import read_record
from nightdrop.storage.tree import Tree
from nightdrop.storage.usage import look_at_count, measure_upload, note_change


def look(tree: Tree, *, quiet_seconds: float = 0, now: datetime | None = None) -> int:
    return scan.scan_tree(
        tree=tree,
        clock=lambda: now or moment(),
        quiet_seconds=quiet_seconds,
        settle_seconds=60,
    )


def test_an_epoch_whose_marker_nobody_reported_is_sealed(nights: Nights) -> None:
    nights.send(CLEAN)
    assert look(nights.tree) == 1
    (delivery,) = list_deliveries(nights.district)
    assert (delivery.epoch, delivery.state, delivery.session) == (EPOCH, State.SEALED, None)
    # Its session may still be there, in another process.
    assert delivery.settles_at == delivery.sealed_at + timedelta(seconds=60)
    assert tasks_of(delivery.id) == [Job.CHECK]
    record = read_record(nights.files, EPOCH)
    assert record is not None
    assert record.id == delivery.id


def test_one_that_is_not_quiet_is_left_alone(nights: Nights) -> None:
    nights.send(CLEAN)
    assert look(nights.tree, quiet_seconds=60) == 0
    assert list_deliveries(nights.district) == []
    assert read_record(nights.files, EPOCH) is None


def test_one_without_a_marker_is_left_alone(nights: Nights) -> None:
    nights.send(CLEAN, marker=Marker.CHECK)
    (nights.upload_directory() / "CHECK").unlink()
    assert look(nights.tree) == 0


def test_a_seal_that_nobody_reported_becomes_known(nights: Nights) -> None:
    nights.send(CLEAN)
    record = nights.seal(by=replace(BY_SFTP, session=uuid4(), session_open=True))
    assert look(nights.tree) == 1
    (delivery,) = list_deliveries(nights.district)
    assert (delivery.id, delivery.session) == (record.id, record.session)
    assert delivery.settles_at == record.sealed_at + timedelta(seconds=60)
    assert look(nights.tree) == 0


def test_they_become_known_in_the_order_of_their_seals(nights: Nights) -> None:
    nights.send(CLEAN, epoch=NEXT_EPOCH)
    nights.send(CLEAN)
    first, second = nights.seal(epoch=NEXT_EPOCH), nights.seal()
    assert look(nights.tree) == 2
    assert [job.delivery for job in jobs()] == [first.id, second.id]


def test_scans_at_once_find_it_once(nights: Nights) -> None:
    nights.send(CLEAN)
    nights.seal()
    assert sum(race(*[lambda: look(nights.tree)] * 3)) == 1
    assert len(jobs()) == 1


def test_an_epoch_that_moved_away_is_not_found_again(nights: Nights) -> None:
    nights.bring(CLEAN)
    forget_jobs()
    assert look(nights.tree) == 0
    assert jobs() == []


@pytest.mark.parametrize(
    ("state", "job"),
    [
        (State.SEALED, Job.CHECK),
        (State.CHECKING, Job.CHECK),
        (State.READY, Job.LOAD),
        (State.LOADING, Job.LOAD),
        (State.LOADED, Job.FINISH),
        (State.REJECTED, Job.FINISH),
        (State.FAILED, Job.FINISH),
        (State.HELD, Job.FINISH),
        (State.UNRECOGNISED, Job.FINISH),
    ],
)
def test_a_delivery_whose_job_is_gone_gets_it_again(nights: Nights, state: State, job: Job) -> None:
    delivery = nights.receive(CLEAN)
    forget_jobs()
    nights.change(delivery, state=state)
    look(nights.tree)
    assert tasks_of(delivery) == [job]
    look(nights.tree)
    assert tasks_of(delivery) == [job]


def test_one_whose_job_waits_gets_no_second(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    look(nights.tree)
    assert tasks_of(delivery) == [Job.CHECK]


def test_one_whose_job_runs_gets_no_second(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    start_job(Job.CHECK, delivery)
    nights.change(delivery, state=State.READY)
    look(nights.tree)
    assert tasks_of(delivery) == [Job.CHECK]


def test_one_that_waits_for_its_night_is_left_alone_until_then(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    nights.check(delivery)
    forget_jobs()
    night = moment() + timedelta(hours=5)
    nights.change(delivery, due_at=night)
    look(nights.tree)
    assert jobs() == []
    look(nights.tree, now=night)
    assert tasks_of(delivery) == [Job.LOAD]


def test_one_that_is_finished_is_left_alone(nights: Nights) -> None:
    delivery = nights.receive({"staff.csv": "Id\n1\n"})
    nights.check(delivery)
    nights.finish(delivery)
    forget_jobs()
    look(nights.tree)
    assert jobs() == []


def test_a_job_that_comes_too_often_finds_nothing_to_do(nights: Nights) -> None:
    delivery = nights.bring(CLEAN).id
    forget_jobs()
    assert not nights.check(delivery)
    assert not nights.load(delivery)
    assert nights.finish(delivery)
    assert jobs() == []
    assert len(nights.moves(delivery)) == 5


def test_directories_that_belong_to_nobody_are_left_alone(nights: Nights) -> None:
    """A district that was purged, or whose making was interrupted."""
    nobody = UUID(int=0)
    nights.tree.add_district(nobody)
    Nights(nobody, nights.tree).send(CLEAN)
    nights.send(CLEAN)
    assert look(nights.tree) == 1
    assert read_record(nights.tree.district(nobody), EPOCH) is None


def test_a_district_whose_files_cannot_be_read_keeps_nobody_waiting(
    nights: Nights, strangers_nights: Nights
) -> None:
    first, second = sorted([nights, strangers_nights], key=lambda each: each.district)
    (first.files.place.path / "locks").rename(first.files.place.path / "lost")
    second.send(CLEAN)
    with structlog.testing.capture_logs() as logged:
        assert look(nights.tree) == 1
    assert len(list_deliveries(second.district)) == 1
    assert [(line["event"], line["district"]) for line in logged] == [
        ("district-not-scanned", str(first.district))
    ]


def test_a_directory_that_is_misnamed_is_told(nights: Nights) -> None:
    nights.send(CLEAN, epoch="2026-09-28")
    nights.send(CLEAN)
    assert look(nights.tree) == 1
    assert scan.find_misnamed(nights.tree, nights.district) == ["2026-09-28"]


def test_what_is_counted_is_corrected(nights: Nights) -> None:
    nights.send(CLEAN)
    place = nights.files.place
    note_change(place, lambda usage: usage.adding(Amount(10**9, 10**6)))
    look(nights.tree)
    assert look_at_count(place).usage == measure_upload(place)
    assert look_at_count(place).number == 1
    look(nights.tree)
    assert look_at_count(place).number == 1


def test_a_scan_counts_for_a_part_of_the_districts(nights: Nights) -> None:
    """Those whose count is oldest come first, so that each has its turn."""
    districts = [UUID(int=number) for number in range(60)]
    for district in districts:
        nights.tree.add_district(district)
    places = [nights.tree.district(district).place for district in districts]
    for count in (2, 4):
        scan._count_anew(nights.tree, districts)
        assert sum(look_at_count(place).number for place in places) == count
    (places[10].path / "upload").rmdir()
    for _ in range(30):
        scan._count_anew(nights.tree, districts)
    assert [look_at_count(place).number for place in places] == [1] * 10 + [0] + [1] * 49
