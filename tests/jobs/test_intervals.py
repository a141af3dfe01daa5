# SPDX-License-Identifier: Apache-2.0
"""Periodic tasks come as often as it is said of them, by the queue's own reading of cron."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from procrastinate.contrib.django import app
from procrastinate.periodic import PeriodicTask

from nightdrop.jobs import tasks
from nightdrop.jobs.intervals import write_cron
from nightdrop.jobs.recovery import RECOVERY_SECONDS

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def longest_wait(cron: str) -> float:
    """Return the longest time, in seconds, between two of the next ticks."""
    task = PeriodicTask(task=tasks.scan_tree, cron=cron, periodic_id="", configure_kwargs={})
    times = task.croniter
    times.set_current(NOON.timestamp())
    ticks = [NOON.timestamp(), *(times.get_next(ret_type=float) for _ in range(200))]
    return float(max(later - tick for tick, later in pairwise(ticks)))


@pytest.mark.parametrize("seconds", [1, 2, 5, 7, 30, 59, 60, 90, 120, 2700, 3600, 5000, 86400])
def test_an_interval_is_never_longer_than_was_asked_for(seconds: int) -> None:
    longest = longest_wait(write_cron(seconds))
    assert longest <= seconds
    assert longest > seconds / 2


def test_dead_workers_are_looked_for_every_few_seconds() -> None:
    crons = {task.task.name: task.cron for task in app.periodic_registry.periodic_tasks.values()}
    assert crons.keys() == {tasks.scan_tree.name, tasks.retry_stalled.name}
    assert longest_wait(crons["retry_stalled"]) == RECOVERY_SECONDS
    assert longest_wait(crons["scan_tree"]) == 60
