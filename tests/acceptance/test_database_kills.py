# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL is killed, stands still or is away; everything is killed at once."""

import os
import signal
from contextlib import suppress

import pytest

from acceptance.databases import standing_still
from acceptance.district import District, Night, end, tell
from acceptance.points import Point
from acceptance.processes import wait_until
from acceptance.running import Nightdrop
from nightdrop.core.paths import Zone

POINTS = (
    Point.BEFORE_SHIPPING,
    Point.CHECKING,
    Point.COPYING,
    Point.LOADED,
    Point.MOVED,
)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_database_loses_nothing(
    nightdrop: Nightdrop, apple: District, first_night: Night, point: Point
) -> None:
    with nightdrop.halting_at(point) as halted:
        apple.send(*first_night.commands())
        part = halted()
        killed = nightdrop.kill_postgres()
        part.let_go()
    nightdrop.wait_for_postgres(other_than=killed)
    apple.check_loaded_once(first_night)


def test_a_killed_backend_loses_nothing(
    nightdrop: Nightdrop, apple: District, first_night: Night
) -> None:
    """As the kernel does when memory is short: PostgreSQL then starts itself again."""
    with nightdrop.halting_at(Point.COPYING) as halted:
        apple.send(*first_night.commands())
        part = halted()
        first, *others = nightdrop.postgres_processes()
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        part.let_go()
    nightdrop.wait_for_postgres()
    apple.check_loaded_once(first_night)
    assert nightdrop.postmaster().pid == first


def test_a_database_killed_during_an_upload_is_not_noticed_by_it(
    nightdrop: Nightdrop, apple: District, first_night: Night
) -> None:
    students, *rest = first_night.commands()[1:]
    session = apple.connect(first_night.commands()[0], students)
    place = apple.directory(Zone.UPLOAD)
    wait_until(lambda: list(place.glob("*/students.csv")), what="the first file")
    killed = nightdrop.kill_postgres()
    tell(session, *rest)
    status, said = end(session)
    assert status == 0, said
    nightdrop.wait_for_postgres(other_than=killed)
    apple.check_loaded_once(first_night)


def test_uploads_go_on_while_the_database_stands_still(
    nightdrop: Nightdrop, apple: District, birch: District, first_night: Night
) -> None:
    with standing_still(nightdrop):
        apple.send(*first_night.commands())
        assert apple.has_seal()
        # The next server has its keys from the snapshot on the disk alone.
        nightdrop.kill_part("sftp")
        birch.send(*first_night.commands())
        assert birch.has_seal()
    apple.check_loaded_once(first_night)
    birch.check_loaded_once(first_night)


def test_uploads_go_on_without_a_database(
    nightdrop: Nightdrop, apple: District, first_night: Night
) -> None:
    """Nobody starts PostgreSQL again, until `serve` is started in place of the lonely server."""
    nightdrop.stop()
    nightdrop.start_sftp_alone()
    nightdrop.kill_postgres()
    apple.send(*first_night.commands())
    assert apple.has_seal()
    # What it wrote to its journal is for the next server to hand over.
    nightdrop.kill_sftp_alone()
    assert not nightdrop.postgres.is_running()
    nightdrop.start()
    apple.check_loaded_once(first_night)


@pytest.mark.parametrize("point", [Point.COPYING, Point.RENAMED])
def test_everything_is_killed_at_once(
    nightdrop: Nightdrop, apple: District, first_night: Night, point: Point
) -> None:
    with nightdrop.halting_at(point) as halted:
        session = apple.begin(*first_night.commands())
        halted()
        nightdrop.kill()
        end(session)
    nightdrop.start()
    apple.check_loaded_once(first_night)
