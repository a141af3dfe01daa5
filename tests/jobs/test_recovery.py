# SPDX-License-Identifier: Apache-2.0
"""Jobs of dead workers come back; those of the living are left alone."""

from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import connection

from fix_district import moment
from fix_night import CLEAN, NEXT_EPOCH, Nights, jobs, start_job, take_job
from nightdrop.core.delivery.machine import Event, State
from nightdrop.db.access import in_district
from nightdrop.jobs.recovery import MAX_ATTEMPTS, retry_stalled_jobs
from nightdrop.services.deliveries import move
from nightdrop.services.queue import Job


def make_worker(*, silent_seconds: float) -> int:
    """Make the row of a worker whose heart last beat so long ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (now() - make_interval(secs => %s)) RETURNING id",
            [silent_seconds],
        )
        return int(cursor.fetchone()[0])


def workers() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM procrastinate_workers ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def attempts(delivery: UUID) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attempts FROM procrastinate_jobs WHERE args->>'delivery' = %s", [str(delivery)]
        )
        return int(cursor.fetchone()[0])


def status(delivery: UUID) -> list[str]:
    return [job.status for job in jobs() if job.delivery == delivery]


def make_periodic(state: str, *, worker: int | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, status,"
            " worker_id) VALUES ('default', 'scan_tree', 'scan_tree', %s, %s)",
            [state, worker],
        )


def periodic() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT status::text FROM procrastinate_jobs WHERE task_name = 'scan_tree'")
        return [row[0] for row in cursor.fetchall()]


def test_a_dead_workers_job_comes_back(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    start_job(Job.CHECK, delivery, worker=make_worker(silent_seconds=60))
    assert take_job() is None
    assert retry_stalled_jobs() == 1
    assert status(delivery) == ["todo"]
    assert attempts(delivery) == 1
    assert workers() == []
    assert take_job() == Job.CHECK


def test_a_living_workers_job_is_left_alone(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    worker = make_worker(silent_seconds=1)
    start_job(Job.CHECK, delivery, worker=worker)
    assert retry_stalled_jobs() == 0
    assert status(delivery) == ["doing"]
    assert workers() == [worker]


def test_a_job_whose_worker_is_forgotten_comes_back(nights: Nights) -> None:
    """A worker that starts removes the rows of dead ones before anybody looked at their jobs."""
    delivery = nights.receive(CLEAN)
    start_job(Job.CHECK, delivery, worker=None)
    assert retry_stalled_jobs() == 1
    assert status(delivery) == ["todo"]


def test_a_job_that_kills_its_workers_is_not_begun_for_ever(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    for _ in range(MAX_ATTEMPTS):
        start_job(Job.CHECK, delivery, worker=make_worker(silent_seconds=60))
        assert retry_stalled_jobs() == 1
    assert status(delivery) == ["todo"]
    start_job(Job.CHECK, delivery, worker=make_worker(silent_seconds=60))
    assert retry_stalled_jobs() == 1
    assert status(delivery) == ["failed"]


def test_a_periodic_job_is_dropped_and_keeps_nobody_waiting(nights: Nights) -> None:
    """It may wait only once: given back beside the next one, it would be an error each time."""
    worker = make_worker(silent_seconds=60)
    make_periodic("doing", worker=worker)
    make_periodic("todo")
    delivery = nights.receive(CLEAN)
    start_job(Job.CHECK, delivery, worker=worker)
    assert retry_stalled_jobs() == 2
    assert periodic() == ["todo"]
    assert status(delivery) == ["todo"]


@pytest.mark.parametrize("loading", [False, True])
def test_a_night_whose_worker_died_goes_through(
    nights: Nights, work: Callable[[], None], *, loading: bool
) -> None:
    """In its check, or in the load that its check's job went on to."""
    delivery = nights.receive(CLEAN)
    start_job(Job.CHECK, delivery, worker=make_worker(silent_seconds=60))
    if loading:
        nights.check(delivery)
    with in_district(nights.district):
        step = Event.START_LOAD if loading else Event.START_CHECK
        assert move(nights.delivery(delivery), step, now=moment(), attempts=1)
    later = nights.receive(CLEAN, epoch=NEXT_EPOCH)
    assert take_job() in {None, Job.LOAD}, "the later one's check waits for the dead one's"
    retry_stalled_jobs()
    work()
    for each in (delivery, later):
        assert nights.delivery(each).state == State.LOADED
        assert nights.delivery(each).finished_at is not None
    assert [event for _, event, _ in nights.moves(delivery)].count("resume") == 1
    assert jobs() == []
