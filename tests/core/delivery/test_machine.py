# SPDX-License-Identifier: Apache-2.0
"""The table of states, walked."""

import itertools

import pytest

from nightdrop.core.delivery.machine import (
    ACTS_NEXT,
    MOVES_AWAY,
    RESTS_IN_PLACE,
    TRANSITIONS,
    Actor,
    Event,
    IllegalTransition,
    State,
    is_at_rest,
    next_step,
)

#: 30-deliveries, as it is written there.
DESIGN = {
    State.SEALED: {State.CHECKING},
    State.CHECKING: {
        State.CHECKED,
        State.UNRECOGNISED,
        State.REJECTED,
        State.HELD,
        State.READY,
        State.FAILED,
    },
    State.READY: {State.LOADING, State.HELD},
    State.LOADING: {State.LOADED, State.HELD, State.REJECTED, State.FAILED},
    State.HELD: {State.READY, State.DISCARDED, State.SUPERSEDED},
    State.FAILED: {State.CHECKING},
    State.REJECTED: {State.CHECKING},
    State.DISCARDED: {State.CHECKING},
    State.UNRECOGNISED: {State.CHECKING, State.DONE},
    State.LOADED: {State.UNDONE},
}


def test_the_table_is_the_design() -> None:
    drawn = {
        state: {after for after in events.values() if after is not state}
        for state, events in TRANSITIONS.items()
        if events
    }
    assert drawn == DESIGN


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_pair_is_a_step_or_is_refused(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        step = next_step(state, event)
        assert (step.before, step.event, step.after) == (state, event, TRANSITIONS[state][event])
    else:
        with pytest.raises(IllegalTransition) as refused:
            next_step(state, event)
        assert (refused.value.state, refused.value.event) == (state, event)


def test_every_state_is_reached_and_every_event_used() -> None:
    reached = {after for events in TRANSITIONS.values() for after in events.values()}
    assert reached | {State.SEALED} == set(State)
    assert {event for events in TRANSITIONS.values() for event in events} == set(Event)


def test_every_state_says_who_acts_next() -> None:
    assert ACTS_NEXT.keys() == set(State)
    ours = {state for state, actor in ACTS_NEXT.items() if actor is Actor.NIGHTDROP}
    assert ours == {state for state in State if not is_at_rest(state)}


def test_an_epoch_moves_away_or_stays_but_not_both() -> None:
    assert not MOVES_AWAY & RESTS_IN_PLACE
