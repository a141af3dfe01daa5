# SPDX-License-Identifier: Apache-2.0
"""The worker itself, as `nightdrop worker` runs it."""

import os
import signal

from django.db import connections

from fix_night import Nights, beside, night_of, wait_until
from fix_roster import guardian, student
from nightdrop.config import load_config
from nightdrop.core.delivery.machine import State
from nightdrop.jobs.main import run_worker

MANY = [student(f"{number:05}") for number in range(3000)]
A_LARGE_NIGHT = night_of(MANY, [guardian(row["Student Id"], "Max") for row in MANY])


def test_a_night_goes_through_and_its_jobs_do_not_take_each_other_for_dead(
    nights: Nights,
) -> None:
    """Its check loads what it has read, while the load's own job is at the worker's other hand."""
    delivery = nights.receive(A_LARGE_NIGHT)
    announced = []

    def stop_when_done() -> None:
        try:
            wait_until(lambda: bool(nights.delivery(delivery).finished_at), seconds=60)
        finally:
            # The signal goes to the worker: it runs in this process's first thread.
            os.kill(os.getpid(), signal.SIGTERM)

    with beside(stop_when_done) as stopped:
        ended = run_worker(load_config(), announce=lambda *what: announced.append(what))
    stopped.result()
    assert ended == 0
    assert announced == [("worker", 0)]
    assert nights.delivery(delivery).state == State.LOADED
    assert [event for _, event, _ in nights.moves(delivery)] == [
        "seal",
        "start-check",
        "pass",
        "start-load",
        "load",
    ]
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_workers")
        assert cursor.fetchone() == (0,), "it has signed off"
