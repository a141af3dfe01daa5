# SPDX-License-Identifier: Apache-2.0
"""A load is one transaction, in its turn, and once."""

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection, transaction

from fix_district import moment
from fix_night import (
    CLEAN,
    EPOCH,
    NEXT_EPOCH,
    Files,
    Nights,
    beside,
    forget_jobs,
    is_somebody_waiting_for_a_lock,
    jobs,
    night_of,
    race,
    start_job,
    tasks_of,
    wait_until,
)
from fix_roster import Roster, Row, guardian, student
from nightdrop.core.delivery.machine import Event, State
from nightdrop.core.epochs import Marker
from nightdrop.db.access import in_district, lock_roster
from nightdrop.services import checks, loads
from nightdrop.services.deliveries import move, record_seal
from nightdrop.services.queue import Job

FIRST = [student(f"{number:04}") for number in range(60)]
#: The 2nd night: 5 new, 1 changed, 10 missing.
SECOND = [
    student("0010", Building="Lincoln High"),
    *FIRST[11:],
    *[student(f"{number:04}") for number in range(60, 65)],
]


def guardians_of(students: Sequence[Row]) -> list[Row]:
    return [guardian(row["Student Id"], "Max") for row in students]


@pytest.fixture
def roster(nights: Nights, tmp_path: Path) -> Roster:
    """The roster that the nights make."""
    return Roster(nights.district, tmp_path)


def checked(nights: Nights, files: Files = CLEAN, *, epoch: str = EPOCH) -> UUID:
    delivery = nights.receive(files, epoch=epoch)
    assert nights.check(delivery)
    return delivery


def start_load(nights: Nights, delivery: UUID, *, attempts: int = 1) -> None:
    """Commit the beginning of a load and die."""
    with in_district(nights.district):
        assert move(nights.delivery(delivery), Event.START_LOAD, now=moment(), attempts=attempts)


def test_a_ready_delivery_is_loaded(nights: Nights, roster: Roster) -> None:
    delivery = checked(nights)
    forget_jobs()
    assert nights.load(delivery)
    found = nights.delivery(delivery)
    assert (found.state, found.attempts) == (State.LOADED, 0)
    assert found.counts == {
        "students": {"added": 2, "updated": 0, "deleted": 0, "unchanged": 0, "faulty": 0},
        "guardians": {"added": 2, "updated": 0, "deleted": 0, "unchanged": 0, "faulty": 0},
    }
    assert nights.moves(delivery)[-2:] == [
        ("ready", "start-load", "loading"),
        ("loading", "load", "loaded"),
    ]
    assert tasks_of(delivery) == [Job.FINISH]
    assert [row["Student Id"] for row in roster.rows("students")] == ["1", "2"]


def test_the_second_night(nights: Nights, roster: Roster) -> None:
    nights.bring(night_of(FIRST, guardians_of(FIRST)))
    second = nights.bring(night_of(SECOND, guardians_of(SECOND)), epoch=NEXT_EPOCH)
    assert second.state == State.LOADED
    assert second.counts["students"] == {
        "added": 5,
        "updated": 1,
        "deleted": 0,
        "unchanged": 49,
        "faulty": 0,
    }
    assert second.counts["guardians"] == {
        "added": 5,
        "updated": 0,
        "deleted": 0,
        "unchanged": 50,
        "faulty": 0,
    }
    students = roster.rows("students")
    assert len(students) == 65
    assert students[:10] == FIRST[:10], "who is missing stays as they are"
    assert students[10]["Building"] == "Lincoln High"
    assert [row["Student Id"] for row in roster.rows("guardians")][:10] == [
        row["Student Id"] for row in FIRST[:10]
    ], "and so do their guardians"


def test_a_delivery_is_loaded_once(nights: Nights) -> None:
    delivery = checked(nights)
    assert nights.load(delivery)
    assert not nights.load(delivery)
    assert len(nights.moves(delivery)) == 5


def test_what_the_check_has_read_is_not_read_again(nights: Nights) -> None:
    """The files are gone when the load begins, and it does not care."""
    delivery = nights.receive(CLEAN)
    where = {"district": nights.district, "delivery_id": delivery}
    with ExitStack() as scratch:
        bundle = checks.check_delivery(**where, tree=nights.tree, clock=moment, scratch=scratch)
        assert bundle is not None
        assert loads.load_delivery(
            **where, tree=nights.tree, clock=moment, running=Job.CHECK, bundle=bundle
        )


def test_a_later_delivery_waits_for_an_earlier_one(nights: Nights) -> None:
    first = nights.receive(CLEAN)
    second = checked(nights, epoch=NEXT_EPOCH)
    for state in (State.SEALED, State.CHECKING, State.READY, State.LOADING):
        nights.change(first, state=state)
        assert not nights.load(second), state
    assert nights.delivery(second).state == State.READY
    assert nights.moves(second)[-1][1] == "pass"


@pytest.mark.parametrize("state", [State.HELD, State.REJECTED, State.FAILED, State.UNRECOGNISED])
def test_nobody_waits_for_one_that_has_come_to_rest(nights: Nights, state: State) -> None:
    first = nights.receive(CLEAN)
    second = checked(nights, epoch=NEXT_EPOCH)
    nights.change(first, state=state)
    assert nights.load(second)


def test_nobody_waits_for_a_dry_run(nights: Nights) -> None:
    nights.receive(CLEAN, marker=Marker.CHECK)
    assert nights.load(checked(nights, epoch=NEXT_EPOCH))


def test_another_district_waits_for_nobody(nights: Nights, strangers_nights: Nights) -> None:
    nights.receive(CLEAN)
    assert strangers_nights.load(checked(strangers_nights))


def test_whoever_ends_wakes_the_next(nights: Nights) -> None:
    first = nights.receive(CLEAN)
    second = checked(nights, epoch=NEXT_EPOCH)
    assert not nights.load(second)
    forget_jobs()
    loads.wake_next(nights.district, clock=moment)
    assert jobs() == [], "it is not its turn yet"
    nights.change(first, state=State.REJECTED)
    loads.wake_next(nights.district, clock=moment)
    assert tasks_of(second) == [Job.LOAD]
    assert nights.load(second)


def test_the_oldest_is_woken(nights: Nights) -> None:
    first = checked(nights)
    second = checked(nights, epoch=NEXT_EPOCH)
    forget_jobs()
    loads.wake_next(nights.district, clock=moment)
    assert tasks_of(first) == [Job.LOAD]
    assert tasks_of(second) == []


def test_a_load_waits_until_it_is_due(nights: Nights) -> None:
    delivery = checked(nights)
    forget_jobs()
    nights.change(delivery, due_at=moment() + timedelta(hours=3))
    assert not nights.load(delivery)
    loads.wake_next(nights.district, clock=moment)
    assert jobs() == []
    tomorrow = moment() + timedelta(hours=4)
    loads.wake_next(nights.district, clock=lambda: tomorrow)
    assert tasks_of(delivery) == [Job.LOAD]
    assert loads.load_delivery(
        district=nights.district,
        delivery_id=delivery,
        tree=nights.tree,
        clock=lambda: tomorrow,
    )


def test_one_sealed_before_a_loaded_one_is_held(nights: Nights, roster: Roster) -> None:
    """Its report was lost for a while, and the newer night has loaded."""
    nights.send(night_of([student("1", Grade="3")]))
    late = nights.seal()
    nights.bring(night_of([student("1", Grade="4")]), epoch=NEXT_EPOCH)
    assert record_seal(late, settle_seconds=60)
    assert nights.check(late.id)
    forget_jobs()
    assert not nights.load(late.id)
    found = nights.delivery(late.id)
    assert (found.state, found.hold_reasons) == (State.HELD, ["older-than-roster"])
    assert nights.moves(late.id)[-1] == ("loading", "hold", "held")
    assert tasks_of(late.id) == [Job.FINISH]
    assert roster.rows("students")[0]["Grade"] == "4"


def test_one_with_other_tables_only_is_not_older_than_the_roster(nights: Nights) -> None:
    nights.send(CLEAN)
    late = nights.seal()
    newer = nights.bring(night_of([student("1")]), epoch=NEXT_EPOCH)
    nights.change(newer.id, counts={"absences": {}})
    assert record_seal(late, settle_seconds=60)
    assert nights.check(late.id)
    assert nights.load(late.id)


def test_a_load_that_died_is_taken_up_again(nights: Nights, roster: Roster) -> None:
    delivery = checked(nights)
    start_load(nights, delivery)
    assert roster.rows("students") == []
    assert nights.load(delivery)
    assert nights.moves(delivery)[-3:] == [
        ("ready", "start-load", "loading"),
        ("loading", "resume", "loading"),
        ("loading", "load", "loaded"),
    ]
    assert len(roster.rows("students")) == 2


def test_a_load_that_never_ends_fails_after_three_attempts(nights: Nights, roster: Roster) -> None:
    delivery = checked(nights)
    start_load(nights, delivery, attempts=checks.MAX_ATTEMPTS)
    forget_jobs()
    assert not nights.load(delivery)
    found = nights.delivery(delivery)
    assert found.state == State.FAILED
    assert roster.rows("students") == []
    assert tasks_of(delivery) == [Job.FINISH]


def test_each_attempt_is_counted(nights: Nights) -> None:
    delivery = checked(nights)
    nights.upload_directory().chmod(0o700)
    (nights.upload_directory() / "students.csv").unlink()
    for attempt in (1, 2, 3):
        with pytest.raises(FileNotFoundError):
            nights.load(delivery)
        assert nights.delivery(delivery).attempts == attempt
    assert not nights.load(delivery)
    assert nights.delivery(delivery).state == State.FAILED


def test_of_loaders_at_once_one_loads(nights: Nights, roster: Roster) -> None:
    delivery = checked(nights, night_of(FIRST, guardians_of(FIRST)))
    results = race(*[lambda: nights.load(delivery)] * 3)
    assert sorted(results) == [False, False, True]
    assert [event for _, event, _ in nights.moves(delivery)].count("load") == 1
    assert len(roster.rows("students")) == 60
    assert roster.query("SELECT count(*) FROM change") == [(0,)]


def test_a_second_worker_waits_for_the_roster_and_finds_the_work_done(nights: Nights) -> None:
    """The first was only slow: its transaction is open while the second resumes."""
    delivery = checked(nights)
    start_load(nights, delivery)
    with ExitStack() as threads, in_district(nights.district):
        lock_roster(nights.district)
        second = threads.enter_context(beside(lambda: nights.load(delivery)))
        wait_until(is_somebody_waiting_for_a_lock)
        assert move(nights.delivery(delivery), Event.LOAD, now=moment(), counts={})
    assert second.result() is False
    found = nights.delivery(delivery)
    assert (found.state, found.counts) == (State.LOADED, {})


def test_the_loads_own_job_leaves_it_to_the_check_that_goes_on_to_load(nights: Nights) -> None:
    delivery = nights.receive(CLEAN)
    start_job(Job.CHECK, delivery)
    nights.check(delivery)
    start_load(nights, delivery)
    assert not nights.load(delivery)
    assert nights.moves(delivery)[-1][1] == "start-load", "nobody was taken for dead"
    assert nights.load(delivery, running=Job.CHECK), "its own second try"


def test_the_check_leaves_it_to_a_load_that_was_first(nights: Nights) -> None:
    """It came between the check's last move and its first of the load."""
    delivery = nights.receive(CLEAN)
    with ExitStack() as scratch:
        bundle = checks.check_delivery(
            district=nights.district,
            delivery_id=delivery,
            tree=nights.tree,
            clock=moment,
            scratch=scratch,
        )
        start_load(nights, delivery)
        assert not loads.load_delivery(
            district=nights.district,
            delivery_id=delivery,
            tree=nights.tree,
            clock=moment,
            running=Job.CHECK,
            bundle=bundle,
        )
    assert nights.moves(delivery)[-1][1] == "start-load"
    assert nights.load(delivery)


def test_the_two_do_not_leave_it_to_each_other(nights: Nights) -> None:
    """Both were given back when their worker had died in the load."""
    delivery = nights.receive(CLEAN)
    start_job(Job.CHECK, delivery)
    nights.check(delivery)
    start_job(Job.LOAD, delivery)
    start_load(nights, delivery)
    assert not nights.load(delivery, running=Job.LOAD)
    assert nights.load(delivery, running=Job.CHECK)


def test_a_load_that_is_rolled_back_leaves_the_old_roster(nights: Nights, roster: Roster) -> None:
    nights.bring(night_of(FIRST, guardians_of(FIRST)))
    before = roster.export("students"), roster.export("guardians")
    second = checked(nights, night_of(SECOND, guardians_of(SECOND)), epoch=NEXT_EPOCH)
    with transaction.atomic():
        assert nights.load(second)
        assert roster.export("students") != before[0]
        transaction.set_rollback(True)
    assert (roster.export("students"), roster.export("guardians")) == before
    assert nights.delivery(second).state == State.READY
    assert roster.query("SELECT count(*) FROM change") == [(0,)]


def test_loads_in_turn_do_not_wait_for_another_district(
    nights: Nights, strangers_nights: Nights
) -> None:
    theirs = checked(strangers_nights)
    with in_district(nights.district):
        lock_roster(nights.district)
        with beside(lambda: strangers_nights.load(theirs)) as load:
            assert load.result(timeout=60)


def test_nothing_stays_behind_on_a_connection_that_the_next_district_gets(nights: Nights) -> None:
    """Row security knows nothing of temporary tables."""
    nights.bring(night_of(FIRST, guardians_of(FIRST)))
    second = checked(nights, night_of(SECOND, guardians_of(SECOND[:9])), epoch=NEXT_EPOCH)
    assert nights.load(second)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class"
            " WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r' ORDER BY 1"
        )
        names = [name for (name,) in cursor.fetchall()]
        assert "staged_student" in "".join(names)
        for name in names:
            cursor.execute(f'SELECT count(*) FROM pg_temp."{name}"')  # noqa: S608
            assert cursor.fetchone() == (0,), name
