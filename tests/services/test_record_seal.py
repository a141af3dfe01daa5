# SPDX-License-Identifier: Apache-2.0
"""A sealed epoch becomes known once, with its first job."""

from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from fix_district import moment
from fix_night import (
    BY_SFTP,
    CLEAN,
    EPOCH,
    NEXT_EPOCH,
    Nights,
    beside,
    forget_jobs,
    is_somebody_waiting_for_a_lock,
    jobs,
    race,
    take_job,
    tasks_of,
    wait_until,
)
from nightdrop.core.delivery.machine import Event, State
from nightdrop.db.access import in_district, lock_roster
from nightdrop.db.models import Transition
from nightdrop.services.deliveries import end_session, list_deliveries, move, record_seal
from nightdrop.services.queue import Job
from nightdrop.storage.seal import SealRecord


class Interrupted(Exception):
    """Something failed after the seal was recorded and before the commit."""


def sealed_by_session(nights: Nights) -> SealRecord:
    nights.send(CLEAN)
    return nights.seal(by=replace(BY_SFTP, session=uuid4(), session_open=True))


def test_a_seal_becomes_a_delivery_with_a_job(nights: Nights) -> None:
    nights.send(CLEAN)
    record = nights.seal()
    assert record_seal(record, settle_seconds=60)
    made = nights.delivery(record.id)
    assert (made.epoch, made.marker, made.source, made.state) == (
        EPOCH,
        "COMPLETE",
        "sftp",
        State.SEALED,
    )
    assert made.sealed_at == made.state_since == record.sealed_at
    assert [file["name"] for file in made.files] == ["guardians.csv", "students.csv"]
    assert nights.moves(record.id) == [("", "seal", "sealed")]
    assert tasks_of(record.id) == [Job.CHECK]


def test_a_second_report_changes_nothing(nights: Nights) -> None:
    nights.send(CLEAN)
    record = nights.seal()
    assert record_seal(record, settle_seconds=60)
    assert not record_seal(record, settle_seconds=60)
    assert len(nights.moves(record.id)) == 1
    assert tasks_of(record.id) == [Job.CHECK]


def test_of_reports_at_once_one_counts(nights: Nights) -> None:
    nights.send(CLEAN)
    record = nights.seal()
    reports = race(*[lambda: record_seal(record, settle_seconds=60)] * 6)
    assert sorted(reports) == [False] * 5 + [True]
    assert len(nights.moves(record.id)) == 1
    assert tasks_of(record.id) == [Job.CHECK]


def test_a_report_waits_for_another_one_of_the_same_seal(nights: Nights) -> None:
    """And takes its place when that one is rolled back."""
    nights.send(CLEAN)
    record = nights.seal()
    with ExitStack() as threads, suppress(Interrupted), transaction.atomic():
        assert record_seal(record, settle_seconds=60)
        second = threads.enter_context(beside(lambda: record_seal(record, settle_seconds=60)))
        wait_until(is_somebody_waiting_for_a_lock)
        assert not second.done()
        raise Interrupted
    assert second.result()
    assert tasks_of(record.id) == [Job.CHECK]


def test_a_rollback_takes_delivery_move_and_job_back(nights: Nights) -> None:
    nights.send(CLEAN)
    record = nights.seal()
    with suppress(Interrupted), transaction.atomic():
        record_seal(record, settle_seconds=60)
        raise Interrupted
    assert list_deliveries(nights.district) == []
    with in_district(nights.district):
        assert not Transition.objects.exists()
    assert jobs() == []
    assert record_seal(record, settle_seconds=60)


def test_another_districts_epoch_is_refused(nights: Nights, strangers_nights: Nights) -> None:
    """The district of a record decides whose it is; one that nobody has is an error."""
    nights.send(CLEAN)
    record = nights.seal()
    with pytest.raises(IntegrityError):
        record_seal(replace(record, district=uuid4()), settle_seconds=60)
    assert record_seal(record, settle_seconds=60)
    assert list_deliveries(strangers_nights.district) == []


def test_checks_run_in_the_order_in_which_seals_were_recorded(nights: Nights) -> None:
    first, second = nights.receive(CLEAN), nights.receive(CLEAN, epoch=NEXT_EPOCH)
    assert [job.delivery for job in jobs()] == [first, second]
    assert {job.lock for job in jobs()} == {f"check_delivery:{nights.district}"}
    assert take_job() == Job.CHECK
    assert [job.status for job in jobs()] == ["doing", "todo"]
    assert take_job() is None, "checks of one district run one at a time"


def test_a_job_is_not_put_before_one_that_is_still_uncommitted(nights: Nights) -> None:
    """The place in the queue is given at defer: without the lock a later COMMIT were earlier."""
    nights.send(CLEAN)
    nights.send(CLEAN, epoch=NEXT_EPOCH)
    first, second = nights.seal(), nights.seal(epoch=NEXT_EPOCH)
    with ExitStack() as threads, transaction.atomic():
        record_seal(first, settle_seconds=60)
        report = threads.enter_context(beside(lambda: record_seal(second, settle_seconds=60)))
        wait_until(is_somebody_waiting_for_a_lock)
        assert not report.done()
    assert report.result()
    assert [job.delivery for job in jobs()] == [first.id, second.id]


def test_districts_do_not_wait_for_one_another(nights: Nights, strangers_nights: Nights) -> None:
    nights.send(CLEAN)
    strangers_nights.send(CLEAN)
    ours, theirs = nights.seal(), strangers_nights.seal()
    with transaction.atomic():
        record_seal(ours, settle_seconds=60)
        with beside(lambda: record_seal(theirs, settle_seconds=60)) as report:
            assert report.result(timeout=30)
    assert {job.delivery for job in jobs()} == {ours.id, theirs.id}


def test_a_long_load_keeps_no_seal_from_being_recorded(nights: Nights) -> None:
    nights.send(CLEAN)
    record = nights.seal()
    with in_district(nights.district):
        lock_roster(nights.district)
        with beside(lambda: record_seal(record, settle_seconds=60)) as report:
            assert report.result(timeout=30)


def test_an_epoch_settles_when_its_session_has_had_time(nights: Nights) -> None:
    record = sealed_by_session(nights)
    record_seal(record, settle_seconds=60)
    made = nights.delivery(record.id)
    assert made.settles_at == record.sealed_at + timedelta(seconds=60)
    assert made.session == record.session


def test_an_epoch_whose_session_is_over_has_settled(nights: Nights) -> None:
    delivery = nights.delivery(nights.receive(CLEAN))
    assert delivery.settles_at == delivery.sealed_at


def test_the_end_of_a_session_lets_its_epoch_go(nights: Nights) -> None:
    record = sealed_by_session(nights)
    assert record.session is not None
    record_seal(record, settle_seconds=600)
    nights.check(record.id)
    nights.load(record.id)
    assert not nights.finish(record.id), "its session goes on"
    ended = moment()
    end_session(nights.district, record.session, now=ended)
    assert nights.delivery(record.id).settles_at == ended
    assert nights.finish(record.id)


def test_the_epoch_goes_at_once_and_not_when_it_was_planned_to(nights: Nights) -> None:
    """The finish that waits for its time must not keep the new one back."""
    record = sealed_by_session(nights)
    assert record.session is not None
    record_seal(record, settle_seconds=600)
    nights.check(record.id)
    nights.load(record.id)
    forget_jobs()
    nights.finish(record.id)
    assert [job.scheduled_at is not None for job in jobs()] == [True]
    assert take_job() is None
    end_session(nights.district, record.session, now=moment())
    assert take_job() == Job.FINISH


def test_an_epoch_that_comes_to_rest_after_its_session_goes_at_once(nights: Nights) -> None:
    record = sealed_by_session(nights)
    assert record.session is not None
    record_seal(record, settle_seconds=600)
    end_session(nights.district, record.session, now=moment())
    assert Job.FINISH not in tasks_of(record.id), "there is nothing to finish yet"
    nights.check(record.id)
    nights.load(record.id)
    assert nights.finish(record.id)


def test_a_session_may_end_while_its_delivery_comes_to_rest(nights: Nights) -> None:
    """Whoever is second sees the first: the epoch does not wait for nobody."""
    record = sealed_by_session(nights)
    session = record.session
    assert session is not None
    record_seal(record, settle_seconds=600)
    nights.check(record.id)
    forget_jobs()
    delivery = nights.delivery(record.id)
    with ExitStack() as threads, in_district(nights.district):
        assert move(delivery, Event.HOLD, now=moment())
        end = threads.enter_context(
            beside(lambda: end_session(nights.district, session, now=moment()))
        )
        wait_until(is_somebody_waiting_for_a_lock)
    end.result()
    assert tasks_of(record.id) == [Job.FINISH, Job.FINISH]


def test_another_sessions_end_is_not_meant(nights: Nights) -> None:
    record = sealed_by_session(nights)
    record_seal(record, settle_seconds=600)
    end_session(nights.district, uuid4(), now=moment())
    assert nights.delivery(record.id).settles_at > moment()
