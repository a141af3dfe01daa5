# SPDX-License-Identifier: Apache-2.0
"""Every state of a delivery, every event, and what follows from what.

This table is the only place that says which state may follow which. Only
`services.deliveries.move` changes a state, and it asks `next_state` first;
`docs/delivery-states.md` is drawn from here.
"""

from dataclasses import dataclass
from enum import StrEnum

from nightdrop.core.errors import Refusal


class State(StrEnum):
    """Where a delivery stands."""

    #: The epoch is immutable and known; nobody has looked into it yet.
    SEALED = "sealed"
    #: Its files are being read and checked.
    CHECKING = "checking"
    #: A dry run is over; nothing was or will be loaded.
    CHECKED = "checked"
    #: No file of it has a name that the format knows.
    UNRECOGNISED = "unrecognised"
    #: A blocking finding: nothing of it is loaded.
    REJECTED = "rejected"
    #: It would change too much, or in the wrong order; a human decides.
    HELD = "held"
    #: Checked and waiting for its load.
    READY = "ready"
    #: Its rows are on their way into the roster, in one transaction.
    LOADING = "loading"
    #: Its rows are the roster's.
    LOADED = "loaded"
    #: A fault of ours stopped it; the roster is untouched.
    FAILED = "failed"
    #: A human decided against it.
    DISCARDED = "discarded"
    #: A newer delivery has loaded all of its tables.
    SUPERSEDED = "superseded"
    #: An operator dealt with an unrecognised upload by hand.
    DONE = "done"
    #: Its load was taken back.
    UNDONE = "undone"


class Event(StrEnum):
    """What can happen to a delivery."""

    START_CHECK = "start-check"
    FIND_NOTHING_KNOWN = "find-nothing-known"
    BLOCK = "block"
    HOLD = "hold"
    PASS = "pass"  # noqa: S105
    END_DRY_RUN = "end-dry-run"
    START_LOAD = "start-load"
    LOAD = "load"
    BREAK = "break"
    RESUME = "resume"
    APPROVE = "approve"
    DISCARD = "discard"
    SUPERSEDE = "supersede"
    RETRY = "retry"
    CLOSE = "close"
    UNDO = "undo"


class Actor(StrEnum):
    """Who acts next on a delivery in a state."""

    NIGHTDROP = "Nightdrop"
    DISTRICT = "the district"
    OPERATOR = "the operator"
    NOBODY = "nobody"


#: state -> event -> next state. RESUME is a worker's restart: the state stays and the
#: step is done again, so that a killed worker's delivery is picked up where it was.
TRANSITIONS: dict[State, dict[Event, State]] = {
    State.SEALED: {Event.START_CHECK: State.CHECKING},
    State.CHECKING: {
        Event.RESUME: State.CHECKING,
        Event.END_DRY_RUN: State.CHECKED,
        Event.FIND_NOTHING_KNOWN: State.UNRECOGNISED,
        Event.BLOCK: State.REJECTED,
        Event.HOLD: State.HELD,
        Event.PASS: State.READY,
        Event.BREAK: State.FAILED,
    },
    State.READY: {Event.START_LOAD: State.LOADING, Event.HOLD: State.HELD},
    State.LOADING: {
        Event.RESUME: State.LOADING,
        Event.LOAD: State.LOADED,
        Event.HOLD: State.HELD,
        Event.BLOCK: State.REJECTED,
        Event.BREAK: State.FAILED,
    },
    State.HELD: {
        Event.APPROVE: State.READY,
        Event.DISCARD: State.DISCARDED,
        Event.SUPERSEDE: State.SUPERSEDED,
    },
    State.FAILED: {Event.RETRY: State.CHECKING},
    State.REJECTED: {Event.RETRY: State.CHECKING},
    State.DISCARDED: {Event.RETRY: State.CHECKING},
    State.UNRECOGNISED: {Event.RETRY: State.CHECKING, Event.CLOSE: State.DONE},
    State.LOADED: {Event.UNDO: State.UNDONE},
    State.CHECKED: {},
    State.SUPERSEDED: {},
    State.DONE: {},
    State.UNDONE: {},
}

ACTS_NEXT: dict[State, Actor] = {
    State.SEALED: Actor.NIGHTDROP,
    State.CHECKING: Actor.NIGHTDROP,
    State.CHECKED: Actor.NOBODY,
    State.UNRECOGNISED: Actor.OPERATOR,
    State.REJECTED: Actor.DISTRICT,
    State.HELD: Actor.DISTRICT,
    State.READY: Actor.NIGHTDROP,
    State.LOADING: Actor.NIGHTDROP,
    State.LOADED: Actor.NOBODY,
    State.FAILED: Actor.OPERATOR,
    State.DISCARDED: Actor.NOBODY,
    State.SUPERSEDED: Actor.NOBODY,
    State.DONE: Actor.NOBODY,
    State.UNDONE: Actor.NOBODY,
}

#: States whose epoch moves to /upload-processed.
MOVES_AWAY = frozenset(
    {
        State.LOADED,
        State.REJECTED,
        State.DISCARDED,
        State.SUPERSEDED,
        State.CHECKED,
        State.UNDONE,
        State.FAILED,
        State.DONE,
    }
)

#: States in which a delivery has come to rest although its epoch stays in /upload.
RESTS_IN_PLACE = frozenset({State.HELD, State.UNRECOGNISED})


@dataclass(frozen=True, slots=True)
class Step:
    """One legal move: `event` takes a delivery from `before` to `after`."""

    before: State
    event: Event
    after: State


class IllegalTransition(Refusal):
    """`event` cannot happen to a delivery in `state`."""

    code = "illegal-transition"

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event} cannot happen to a delivery that is {state}")
        self.state = state
        self.event = event


def next_step(state: State, event: Event) -> Step:
    """Return the step that `event` makes from `state`.

    Raises:  IllegalTransition, carrying both, when the table has no such row.
    """
    try:
        return Step(before=state, event=event, after=TRANSITIONS[state][event])
    except KeyError:
        raise IllegalTransition(state, event) from None


def is_at_rest(state: State) -> bool:
    """Tell whether nothing more happens to a delivery until somebody acts."""
    return state in MOVES_AWAY or state in RESTS_IN_PLACE
