# SPDX-License-Identifier: Apache-2.0
"""The worker is killed at each named point of a delivery; `serve` starts another."""

import pytest

from acceptance.district import EPOCH, NEXT_EPOCH, REPORTS, District, Night
from acceptance.points import Point
from acceptance.running import Nightdrop
from nightdrop.core.paths import Zone
from nightdrop.services.checks import MAX_ATTEMPTS

#: Where the worker is killed, and what the delivery is then, for everybody who asks.
STATES = {
    Point.BEFORE_CHECK: "sealed",
    Point.CHECKING: "checking",
    Point.KEEPING_FINDINGS: "checking",
    Point.COPYING: "loading",
    Point.LOADED: "loaded",
    Point.BEFORE_MOVE: "loaded",
    Point.BEFORE_RENAME: "loaded",
    Point.RENAMED: "loaded",
    Point.MOVED: "loaded",
}


@pytest.mark.parametrize("point", STATES)
def test_a_killed_worker_loses_nothing(
    nightdrop: Nightdrop, apple: District, first_night: Night, point: Point
) -> None:
    with nightdrop.halting_at(point) as halted:
        apple.send(*first_night.commands())
        worker = halted()
        (delivery,) = apple.deliveries()
        assert delivery["state"] == STATES[point]
        # At LOADED only the check's job waits; the one that moves the epoch goes on.
        assert delivery["finished_at"] is None or point is Point.LOADED
        assert apple.check_never_half(first_night) == (STATES[point] == "loaded")
        worker.kill()
    nightdrop.wait_for_others("worker", worker.pid)
    apple.check_loaded_once(first_night)


def test_killed_before_it_took_the_job(
    nightdrop: Nightdrop, apple: District, first_night: Night
) -> None:
    """The job waits in the queue: the worker has not come to it, and never will."""
    with nightdrop.halting_at(Point.SCANNED) as halted:
        nightdrop.kill_part("worker")
        # The first scan is part of the start: this worker takes no jobs yet.
        worker = halted()
        apple.send(*first_night.commands())
        apple.wait_for_state("sealed")
        worker.kill()
    nightdrop.wait_for_others("worker", worker.pid)
    apple.check_loaded_once(first_night)


def test_killed_in_an_update_it_leaves_the_old_roster(
    nightdrop: Nightdrop, apple: District, first_night: Night, second_night: Night
) -> None:
    apple.send(*first_night.commands())
    apple.check_loaded_once(first_night)
    with nightdrop.halting_at(Point.COPYING) as halted:
        apple.send(*second_night.commands(NEXT_EPOCH))
        worker = halted()
        assert apple.export() == first_night.exported
        worker.kill()
    nightdrop.wait_for_others("worker", worker.pid)
    apple.check_loaded_once(second_night, before=first_night.exported, epoch=NEXT_EPOCH)
    assert len(apple.deliveries()) == 2


def test_a_delivery_that_kills_each_worker_fails_and_stops_no_other(
    nightdrop: Nightdrop, apple: District, first_night: Night
) -> None:
    apple.send(*first_night.commands())
    for _ in range(MAX_ATTEMPTS):
        with nightdrop.halting_at(Point.COPYING) as halted:
            worker = halted()
            worker.kill()
        nightdrop.wait_for_others("worker", worker.pid)
    assert apple.wait_until_finished()["state"] == "failed"
    assert not apple.check_never_half(first_night)
    assert apple.names(Zone.PROCESSED, EPOCH) >= REPORTS
    apple.send(*first_night.commands(NEXT_EPOCH))
    apple.check_loaded_once(first_night, epoch=NEXT_EPOCH)
