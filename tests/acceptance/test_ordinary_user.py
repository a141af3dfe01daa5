# SPDX-License-Identifier: Apache-2.0
"""Kills where an ordinary user has started `serve`, which never had any right of root's.

The other modules are this run when an ordinary user runs them. When root does, `serve` is
root's there, and its parts and PostgreSQL run as the ordinary user `nightdrop`.
"""

import os
from collections.abc import Iterator

import pytest

from acceptance.district import District, Night, end
from acceptance.points import Point
from acceptance.running import Nightdrop


@pytest.fixture
def nobodys() -> Iterator[Nightdrop]:
    """Serve as the user `nobody`."""
    if os.geteuid() != 0:
        pytest.skip("an ordinary user runs all the other tests")
    with Nightdrop(user="nobody") as running:
        yield running


def test_kills_where_nobody_is_root(nobodys: Nightdrop, first_night: Night) -> None:
    """One test, because a start is what takes long."""
    for point in (Point.TRIED_TO_SEAL, Point.COPYING, Point.RENAMED):
        apple = District(nobodys, f"applegrove-{point}.org")
        with nobodys.halting_at(point) as halted:
            client = apple.begin(*first_night.commands())
            part = halted()
            apple.check_never_half(first_night)
            part.kill()
            end(client)
        apple.check_loaded_once(first_night)
    birch = District(nobodys, "birchhill.org")
    with nobodys.halting_at(Point.COPYING) as halted:
        birch.send(*first_night.commands())
        part = halted()
        killed = nobodys.kill_postgres()
        part.let_go()
    nobodys.wait_for_postgres(other_than=killed)
    birch.check_loaded_once(first_night)
