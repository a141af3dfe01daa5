# SPDX-License-Identifier: Apache-2.0
"""The worker is killed at each named point of a delivery; `serve` starts another."""

import pytest

from acceptance.district import EPOCH, NEXT_EPOCH, District, Night
from acceptance.points import Point
from acceptance.running import Nightdrop
from nightdrop.core.paths import Zone

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
        assert delivery["finished_at"] is None or point is Point.LOADED
        assert apple.check_never_half(first_night) == (STATES[point] == "loaded")
        worker.kill()
    nightdrop.wait_for_another("worker", worker.pid)
    apple.check_loaded_once(first_night)
