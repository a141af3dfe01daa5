# SPDX-License-Identifier: Apache-2.0
"""A delivery ends with its reports beside its files, or rests where it is."""

import csv
import io
import json
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from fix_district import moment
from fix_night import (
    BY_SFTP,
    CLEAN,
    EPOCH,
    NEXT_EPOCH,
    Nights,
    forget_jobs,
    jobs,
    night_of,
    race,
    tasks_of,
)
from fix_roster import student
from nightdrop.core.delivery.machine import MOVES_AWAY, RESTS_IN_PLACE, Event, State
from nightdrop.core.epochs import Marker
from nightdrop.db.access import in_district
from nightdrop.services.deliveries import move, record_seal
from nightdrop.services.places import epoch_directory
from nightdrop.services.queue import Job
from nightdrop.storage.processed import move_to_processed
from nightdrop.storage.seal import read_record

REPORTS = {"REPORT.txt", "report.json", "findings.csv"}


def loaded(nights: Nights, *, epoch: str = EPOCH) -> UUID:
    delivery = nights.receive(CLEAN, epoch=epoch)
    assert nights.check(delivery)
    assert nights.load(delivery)
    return delivery


def names_in(nights: Nights, name: str = EPOCH) -> set[str]:
    return {path.name for path in nights.processed_directory(name).iterdir()}


def test_a_loaded_epoch_moves_away_with_its_reports(nights: Nights) -> None:
    delivery = loaded(nights)
    before = moment()
    assert nights.finish(delivery)
    found = nights.delivery(delivery)
    assert found.processed_name == EPOCH
    assert found.finished_at is not None
    assert before <= found.finished_at <= moment()
    assert names_in(nights) == {*CLEAN, "COMPLETE", *REPORTS}
    assert not nights.upload_directory().exists()
    assert epoch_directory(found, tree=nights.tree) == nights.processed_directory()


def test_the_reports_say_what_happened(nights: Nights) -> None:
    rows = [student(str(number)) for number in range(100)]
    delivery = nights.receive(night_of([*rows, student("100", Gender="other")]))
    nights.check(delivery)
    nights.load(delivery)
    nights.finish(delivery)
    place = nights.processed_directory()
    told = json.loads((place / "report.json").read_text())
    assert (told["id"], told["epoch"], told["state"]) == (str(delivery), EPOCH, "loaded")
    assert told["counts"]["students"]["added"] == 100
    assert told["findings"] == {"blocking": 0, "error": 1, "remark": 0}
    assert [each["after"] for each in told["transitions"]] == [
        "sealed",
        "checking",
        "ready",
        "loading",
        "loaded",
    ]
    text = (place / "findings.csv").read_text("utf-8-sig")
    (found,) = csv.DictReader(io.StringIO(text))
    assert (found["File"], found["Line"], found["Column"]) == ("students.csv", "102", "Gender")
    assert EPOCH in (place / "REPORT.txt").read_text()


def test_finishing_again_changes_nothing(nights: Nights) -> None:
    delivery = loaded(nights)
    assert nights.finish(delivery)
    first = nights.delivery(delivery).finished_at
    assert nights.finish(delivery)
    assert nights.delivery(delivery).finished_at == first
    assert names_in(nights) == {*CLEAN, "COMPLETE", *REPORTS}


def test_of_finishers_at_once_all_come_to_the_same(nights: Nights) -> None:
    delivery = loaded(nights)
    assert race(*[lambda: nights.finish(delivery)] * 3) == [True] * 3
    assert nights.delivery(delivery).processed_name == EPOCH
    assert names_in(nights) == {*CLEAN, "COMPLETE", *REPORTS}


def test_a_move_that_was_made_before_the_crash_is_found(nights: Nights) -> None:
    delivery = loaded(nights)
    record = read_record(nights.files, EPOCH)
    assert move_to_processed(nights.files, delivery, record, reports={}) == EPOCH
    assert nights.finish(delivery)
    assert nights.delivery(delivery).processed_name == EPOCH


def test_a_name_may_come_again(nights: Nights) -> None:
    first = loaded(nights)
    nights.finish(first)
    second = loaded(nights)
    nights.finish(second)
    assert nights.delivery(first).processed_name == EPOCH
    assert nights.delivery(second).processed_name == f"{EPOCH}-2"
    assert names_in(nights, f"{EPOCH}-2") == {*CLEAN, "COMPLETE", *REPORTS}


def test_a_report_of_the_districts_own_is_kept(nights: Nights) -> None:
    delivery = nights.receive({**CLEAN, "REPORT.txt": "ours"})
    nights.check(delivery)
    nights.load(delivery)
    nights.finish(delivery)
    assert (nights.processed_directory() / "REPORT.txt").read_text() == "ours"
    assert "REPORT-2.txt" in names_in(nights)


def test_an_epoch_waits_for_its_session(nights: Nights) -> None:
    nights.send(CLEAN)
    record = nights.seal(by=replace(BY_SFTP, session=uuid4(), session_open=True))
    record_seal(record, settle_seconds=60)
    nights.check(record.id)
    nights.load(record.id)
    forget_jobs()
    assert not nights.finish(record.id)
    assert nights.upload_directory().is_dir()
    assert nights.delivery(record.id).finished_at is None
    settles_at = record.sealed_at + timedelta(seconds=60)
    assert [(job.task, job.scheduled_at) for job in jobs()] == [(Job.FINISH, settles_at)]
    assert nights.finish(record.id, clock=lambda: settles_at)


@pytest.mark.parametrize("state", sorted(MOVES_AWAY))
def test_whoever_moves_away_does(nights: Nights, state: State) -> None:
    delivery = nights.receive(CLEAN)
    nights.change(delivery, state=state)
    assert nights.finish(delivery)
    assert not nights.upload_directory().exists()


@pytest.mark.parametrize("state", sorted(RESTS_IN_PLACE))
def test_whoever_waits_for_people_rests_in_place(nights: Nights, state: State) -> None:
    delivery = nights.receive(CLEAN)
    nights.change(delivery, state=state)
    assert nights.finish(delivery)
    found = nights.delivery(delivery)
    assert found.finished_at is not None
    assert found.processed_name is None
    assert {path.name for path in nights.upload_directory().iterdir()} == {*CLEAN, "COMPLETE"}
    assert epoch_directory(found, tree=nights.tree) == nights.upload_directory()


@pytest.mark.parametrize("state", sorted(set(State) - MOVES_AWAY - RESTS_IN_PLACE))
def test_what_is_on_its_way_is_not_finished(nights: Nights, state: State) -> None:
    delivery = nights.receive(CLEAN)
    nights.change(delivery, state=state)
    assert not nights.finish(delivery)
    assert nights.delivery(delivery).finished_at is None
    assert nights.upload_directory().is_dir()


def test_what_rested_moves_away_when_somebody_decided(nights: Nights) -> None:
    delivery = nights.receive({"staff.csv": "Id\n1\n"})
    nights.check(delivery)
    nights.finish(delivery)
    forget_jobs()
    with in_district(nights.district):
        assert move(nights.delivery(delivery), Event.CLOSE, now=moment())
    assert nights.delivery(delivery).finished_at is None
    assert tasks_of(delivery) == [Job.FINISH]
    assert nights.finish(delivery)
    assert names_in(nights) == {"staff.csv", "COMPLETE", *REPORTS}


def test_a_retry_meanwhile_is_not_called_finished(nights: Nights) -> None:
    """It is decided while the epoch moves; where that went must still be known."""
    delivery = nights.receive({"students.csv": "nothing"})
    nights.check(delivery)
    assert nights.delivery(delivery).state == State.REJECTED
    calls = iter(range(2))

    def clock() -> datetime:
        if next(calls) == 1:
            with in_district(nights.district):
                assert move(nights.delivery(delivery), Event.RETRY, now=moment())
        return moment()

    assert not nights.finish(delivery, clock=clock)
    found = nights.delivery(delivery)
    assert (found.state, found.finished_at) == (State.CHECKING, None)
    assert found.processed_name == EPOCH
    assert not nights.check(delivery), "its files are found where they are now"
    assert nights.delivery(delivery).state == State.REJECTED
    assert nights.finish(delivery)


def test_a_dry_run_ends_with_its_report(nights: Nights) -> None:
    delivery = nights.receive(CLEAN, marker=Marker.CHECK)
    nights.check(delivery)
    assert nights.finish(delivery)
    told = json.loads((nights.processed_directory() / "report.json").read_text())
    assert (told["state"], told["would"], told["counts"]) == ("checked", "loaded", {})


def test_another_epoch_is_left_alone(nights: Nights) -> None:
    other = nights.receive(CLEAN, epoch=NEXT_EPOCH)
    delivery = nights.receive(CLEAN)
    nights.change(delivery, state=State.REJECTED)
    nights.finish(delivery)
    assert nights.upload_directory(NEXT_EPOCH).is_dir()
    assert nights.delivery(other).state == State.SEALED
