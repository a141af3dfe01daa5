# SPDX-License-Identifier: Apache-2.0
"""Only one mover wins, and what follows a move is part of it."""

from contextlib import ExitStack, suppress

import pytest
from django.db import transaction

from fix_district import moment
from fix_night import (
    CLEAN,
    Nights,
    beside,
    forget_jobs,
    is_somebody_waiting_for_a_lock,
    race,
    tasks_of,
    wait_until,
)
from nightdrop.core.delivery.machine import (
    MOVES_AWAY,
    RESTS_IN_PLACE,
    TRANSITIONS,
    Event,
    IllegalTransition,
    State,
)
from nightdrop.db.access import in_district
from nightdrop.db.models import Delivery
from nightdrop.services.deliveries import FOLLOW_UPS, move
from nightdrop.services.queue import Job

EVERY_STEP = [
    (before, event, after)
    for before, events in TRANSITIONS.items()
    for event, after in events.items()
]


class Interrupted(Exception):
    """Something failed after a move and before its commit."""


def moved(nights: Nights, delivery: Delivery, event: Event) -> bool:
    with in_district(nights.district):
        return move(delivery, event, now=moment())


@pytest.mark.parametrize(("before", "event", "after"), EVERY_STEP)
def test_each_step_leaves_a_row_and_the_job_of_its_state(
    nights: Nights, before: State, event: Event, after: State
) -> None:
    known = nights.receive(CLEAN)
    forget_jobs()
    nights.change(known, state=before, finished_at=moment())
    delivery = nights.delivery(known)
    now = moment()
    with in_district(nights.district):
        assert move(delivery, event, now=now, reason="so", attempts=7)
    found = nights.delivery(known)
    assert (found.state, found.state_since, found.attempts) == (after, now, 7)
    assert found.finished_at is None
    assert (delivery.state, delivery.attempts) == (after, 7), "the one in hand is current, too"
    assert nights.moves(known)[1:] == [(before, event, after)]
    expected = FOLLOW_UPS.get(after)
    assert tasks_of(known) == ([] if expected is None else [expected])


def test_whoever_comes_to_rest_is_finished() -> None:
    assert {state for state, job in FOLLOW_UPS.items() if job is Job.FINISH} == (
        MOVES_AWAY | RESTS_IN_PLACE
    )


def test_an_illegal_move_raises_and_changes_nothing(nights: Nights) -> None:
    known = nights.receive(CLEAN)
    forget_jobs()
    with pytest.raises(IllegalTransition) as refusal:
        moved(nights, nights.delivery(known), Event.LOAD)
    assert (refusal.value.state, refusal.value.event) == (State.SEALED, Event.LOAD)
    assert nights.delivery(known).state == State.SEALED
    assert nights.moves(known) == [("", "seal", "sealed")]
    assert tasks_of(known) == []


def test_of_movers_at_once_one_wins(nights: Nights) -> None:
    known = nights.receive(CLEAN)
    in_hand = [nights.delivery(known) for _ in range(6)]
    results = race(*[lambda it=it: moved(nights, it, Event.START_CHECK) for it in in_hand])
    assert sorted(results) == [False] * 5 + [True]
    assert nights.moves(known)[1:] == [("sealed", "start-check", "checking")]


def test_the_loser_waits_for_the_winner_and_leaves_nothing(nights: Nights) -> None:
    """Even where both would end in the same state by different ways."""
    known = nights.receive(CLEAN)
    nights.change(known, state=State.CHECKING)
    forget_jobs()
    ours, theirs = nights.delivery(known), nights.delivery(known)
    with ExitStack() as threads, in_district(nights.district):
        assert move(ours, Event.PASS, now=moment())
        loser = threads.enter_context(beside(lambda: moved(nights, theirs, Event.BLOCK)))
        wait_until(is_somebody_waiting_for_a_lock)
        assert not loser.done()
    assert loser.result() is False
    assert nights.delivery(known).state == State.READY
    assert nights.moves(known)[1:] == [("checking", "pass", "ready")]
    assert tasks_of(known) == [Job.LOAD]


def test_a_move_that_is_rolled_back_leaves_the_way_free(nights: Nights) -> None:
    known = nights.receive(CLEAN)
    nights.change(known, state=State.CHECKING)
    forget_jobs()
    ours, theirs = nights.delivery(known), nights.delivery(known)
    with ExitStack() as threads, suppress(Interrupted), in_district(nights.district):
        assert move(ours, Event.PASS, now=moment())
        other = threads.enter_context(beside(lambda: moved(nights, theirs, Event.BLOCK)))
        wait_until(is_somebody_waiting_for_a_lock)
        raise Interrupted
    assert other.result() is True
    assert nights.moves(known)[1:] == [("checking", "block", "rejected")]
    assert tasks_of(known) == [Job.FINISH]


def test_another_districts_delivery_is_not_there_to_move(
    nights: Nights, strangers_nights: Nights
) -> None:
    known = nights.receive(CLEAN)
    in_hand = nights.delivery(known)
    with in_district(strangers_nights.district):
        assert not move(in_hand, Event.START_CHECK, now=moment())
    assert nights.moves(known) == [("", "seal", "sealed")]


def test_a_move_outside_of_a_district_moves_nothing(nights: Nights) -> None:
    in_hand = nights.delivery(nights.receive(CLEAN))
    with transaction.atomic():
        assert not move(in_hand, Event.START_CHECK, now=moment())
    assert nights.delivery(in_hand.id).state == State.SEALED
