# SPDX-License-Identifier: Apache-2.0
"""Whose packets are looked at next, when a client sends more than its share of them.

A packet of sixteen bytes costs a server as much time as one of thirty thousand, and a quarter of
a megabyte of such packets can arrive in one read. So a connection looks at a few, and then waits
in a row with all others that have more; between two of them the loop serves everybody else, and
rests, so that whoever floods the server does not get all of the processor. Files in transit do not
come to this: their packets are large, and what arrives in one read is a few of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

#: Packets that a connection looks at in one turn: a millisecond, when each asks for something.
TURN_PACKETS: Final = 16
#: How long the row rests between two turns: at least a millisecond, as the loop has it.
_REST_SECONDS: Final = 0.001


class Turns:
    """The row of a process: one after the other, those who wait have their turn."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_due = False

    def wait(self, take_turn: Callable[[], None]) -> None:
        """Stand at the end of the row."""
        self._waiting.append(take_turn)
        self._arrange()

    def _arrange(self) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_REST_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._is_due = False
        self._waiting.popleft()()
        self._arrange()
