# SPDX-License-Identifier: Apache-2.0
"""The queue brings a sealed night to its end, with ids and nothing else."""

import inspect
import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from procrastinate.contrib.django import app

from fix_district import moment
from fix_night import CLEAN, EPOCH, NEXT_EPOCH, Nights, forget_jobs, jobs, night_of, tasks_of
from fix_roster import student
from nightdrop.core.delivery.machine import State
from nightdrop.core.epochs import Marker
from nightdrop.jobs.main import preload_worker
from nightdrop.jobs.tasks import run_scan
from nightdrop.services.deliveries import list_deliveries
from nightdrop.services.queue import Job

Work = Callable[[], None]

MANY = [student(f"{number:05}") for number in range(3000)]


def stored_arguments() -> list[tuple[dict[str, object], str | None]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT args, lock FROM procrastinate_jobs ORDER BY id")
        return [(json.loads(args), lock) for args, lock in cursor.fetchall()]


def is_uuid(text: object) -> bool:
    return isinstance(text, str) and str(UUID(text)) == text


def test_every_name_is_a_task() -> None:
    """A wrong name would be taken by the queue, and fail when its turn comes."""
    preload_worker()
    assert {str(job) for job in Job} <= app.tasks.keys()


@pytest.mark.parametrize("job", list(Job))
def test_a_task_is_given_two_ids_and_can_be_given_nothing_else(job: Job) -> None:
    preload_worker()
    assert inspect.signature(app.tasks[job].func).parameters.keys() == {"district", "delivery"}


def test_periodic_tasks_wait_once() -> None:
    preload_worker()
    periodic = {task.task.name: task for task in app.periodic_registry.periodic_tasks.values()}
    assert periodic.keys() == {"scan_tree", "retry_stalled"}
    for name, task in periodic.items():
        assert task.task.queueing_lock == name


def test_what_the_queue_stores_is_ids(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    nights.check(delivery)
    nights.load(delivery)
    nights.finish(delivery)
    stored = stored_arguments()
    assert [job.task for job in jobs()] == [Job.CHECK, Job.LOAD, Job.FINISH]
    for arguments, lock in stored:
        assert arguments.keys() == {"district", "delivery"}
        assert all(map(is_uuid, arguments.values()))
        assert lock is None or is_uuid(lock.partition(":")[2])


def test_a_night_goes_through(nights: Nights, work: Work) -> None:
    delivery = nights.receive(CLEAN)
    work()
    found = nights.delivery(delivery)
    assert found.state == State.LOADED
    assert found.finished_at is not None
    assert (nights.processed_directory() / "REPORT.txt").is_file()
    assert jobs() == []


def test_nights_that_come_together_load_in_their_order(nights: Nights, work: Work) -> None:
    """Each has one student more than the former: out of order one would be held."""
    epochs = [f"20260928-02{minute:02}00" for minute in range(5)]
    known = [
        nights.receive(night_of(MANY[: 50 + number]), epoch=epoch)
        for number, epoch in enumerate(epochs)
    ]
    work()
    found = [nights.delivery(delivery) for delivery in known]
    assert [each.state for each in found] == [State.LOADED] * 5
    assert [each.counts["students"]["added"] for each in found] == [50, 1, 1, 1, 1]
    assert all(each.finished_at for each in found)


def test_a_rejected_night_lets_the_next_one_go(nights: Nights, work: Work) -> None:
    bad = nights.receive({"students.csv": "<html></html>"})
    good = nights.receive(CLEAN, epoch=NEXT_EPOCH)
    work()
    assert nights.delivery(bad).state == State.REJECTED
    assert nights.delivery(good).state == State.LOADED


def test_a_dry_run_goes_through(nights: Nights, work: Work) -> None:
    delivery = nights.receive(CLEAN, marker=Marker.CHECK)
    work()
    found = nights.delivery(delivery)
    assert (found.state, found.would) == (State.CHECKED, "loaded")
    assert found.finished_at is not None


def test_a_night_that_waits_is_given_out_by_the_scan_when_it_is_due(
    nights: Nights, work: Work
) -> None:
    delivery = nights.receive(CLEAN)
    nights.check(delivery)
    nights.change(delivery, due_at=moment() + timedelta(hours=1))
    work()
    run_scan()
    assert jobs() == []
    assert nights.delivery(delivery).state == State.READY
    nights.change(delivery, due_at=moment())
    run_scan()
    assert tasks_of(delivery) == [Job.LOAD]
    work()
    assert nights.delivery(delivery).state == State.LOADED


def test_a_seal_that_nobody_reported_goes_through(nights: Nights, work: Work) -> None:
    nights.send(CLEAN)
    nights.seal()
    run_scan()
    work()
    (delivery,) = list_deliveries(nights.district)
    assert (delivery.epoch, delivery.state) == (EPOCH, State.LOADED)


@pytest.mark.parametrize("steps", range(4))
def test_a_night_whose_jobs_were_lost_goes_through(nights: Nights, work: Work, steps: int) -> None:
    """After the seal, the check, the load, the finish: the scan finds what to do next."""
    delivery = nights.receive(CLEAN)
    for step in (nights.check, nights.load, nights.finish)[:steps]:
        assert step(delivery)
    forget_jobs()
    run_scan()
    work()
    found = nights.delivery(delivery)
    assert (found.state, found.processed_name) == (State.LOADED, EPOCH)
    assert len(nights.moves(delivery)) == 5
