# SPDX-License-Identifier: Apache-2.0
"""docs/delivery-states.md, drawn from the table in `core.delivery.machine`."""

from nightdrop.core.delivery.machine import (
    ACTS_NEXT,
    MOVES_AWAY,
    RESTS_IN_PLACE,
    TRANSITIONS,
    State,
)

HEAD = """\
# The states of a delivery

Made by `make docs` from `core/delivery/machine.py`; do not edit.

A delivery is `sealed` when its epoch became immutable. Only `services.deliveries.move`
changes a state; each move leaves a row that `nightdrop delivery show` prints.
"""


def write_states_page() -> str:
    """Return the page: every state, who acts next, and a picture."""
    lines = [
        HEAD,
        "| state | what may happen next | who acts next | its epoch |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{state}` | {_events(state)} | {ACTS_NEXT[state]} | {_place(state)} |"
        for state in State
    ]
    lines += ["", "```mermaid", "stateDiagram-v2", "    [*] --> sealed"]
    for state, events in TRANSITIONS.items():
        lines += [
            f"    {state} --> {after}: {event}" for event, after in events.items() if after != state
        ]
    return "\n".join([*lines, "```", ""])


def _events(state: State) -> str:
    events = TRANSITIONS[state]
    return ", ".join(f"{event} → `{after}`" for event, after in events.items()) or "nothing"


def _place(state: State) -> str:
    if state in MOVES_AWAY:
        return "moves to `/upload-processed`"
    if state in RESTS_IN_PLACE:
        return "stays in `/upload` until somebody decides"
    return "stays in `/upload` for now"
