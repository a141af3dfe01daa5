# SPDX-License-Identifier: Apache-2.0
"""Whose packets are looked at next, when a client sends more than its share of them.

A packet of sixteen bytes costs a server as much time as one of thirty thousand, and a quarter of
a megabyte of such packets can arrive in one read. So a connection looks at a few, and then waits
in a row with all others that have more; between two of them the loop serves everybody else.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

#: Packets that a connection looks at in one turn: a millisecond or two.
TURN_PACKETS: Final = 32


class Turns:
    """The row of a process: one of those who wait has its turn each time round the loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_due = False

    def wait(self, take_turn: Callable[[], None]) -> None:
        """Stand at the end of the row."""
        self._waiting.append(take_turn)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_due = False
        take_turn = self._waiting.popleft()
        take_turn()
        if self._waiting and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._go_on)
