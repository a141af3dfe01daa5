# SPDX-License-Identifier: Apache-2.0
"""How much one session, and one district, may hold of what a process has.

A client may make the server keep what it has sent ahead, requests that wait to be answered,
and replies that it does not read. The first sessions get plenty; the more there are, the less
the next one gets. A share is for the life of its session: a window that was granted cannot be
taken back. Should a thousand sessions of one process all be hostile, in each way at once, they
hold some 900 MiB.
"""

import math
import threading
from dataclasses import dataclass
from typing import Final

from nightdrop.sftp.packets import MAX_PACKET_BYTES

#: Files and directories that the sessions of one district may have open in one process. A file
#: that is being written takes two descriptors, of which a process has some thousands.
MAX_DISTRICT_HANDLES: Final = 256
#: Refusals of one district that one process puts into the journal in a minute: a client in a
#: loop must not fill it.
MAX_REFUSALS: Final = 200
_MINUTE_SECONDS: Final = 60.0

#: Windows are this much together before any session gets less than the most.
_BUDGET_BYTES: Final = 48 * 1024 * 1024
#: A client far away can have half of its window on the way: this is 50 MiB/s at 80 ms.
_MOST_WINDOW_BYTES: Final = 8 * 1024 * 1024
_LEAST_WINDOW_BYTES: Final = 128 * 1024
#: Requests and replies need not wait in such heaps.
_MOST_WAITING_BYTES: Final = 1024 * 1024
#: The longest request must be able to wait whole, or it would never be answered.
_LEAST_WAITING_BYTES: Final = MAX_PACKET_BYTES + 32 * 1024


@dataclass(frozen=True, slots=True)
class Share:
    """What one session may hold: `window_bytes` is what its client may send ahead."""

    window_bytes: int

    @property
    def waiting_bytes(self) -> int:
        """Bytes of requests that may wait before the channel is no longer read."""
        return max(_LEAST_WAITING_BYTES, min(_MOST_WAITING_BYTES, self.window_bytes // 2))

    @property
    def reply_bytes(self) -> int:
        """Bytes of replies that are made before the client must take them."""
        return max(MAX_PACKET_BYTES, min(_MOST_WAITING_BYTES, self.window_bytes // 2))


def choose_share(*, open_sessions: int, of_district: int) -> Share:
    """Return the share of a session that begins beside `open_sessions` others.

    `of_district` of them are its own district's, which share out what one may have.
    """
    even_bytes = _BUDGET_BYTES // (open_sessions + 1)
    most_bytes = _MOST_WINDOW_BYTES // (of_district + 1)
    return Share(max(_LEAST_WINDOW_BYTES, min(most_bytes, even_bytes)))


class DistrictShare:
    """What all sessions of one district have in common in this process. Threads share it."""

    def __init__(self) -> None:
        #: How many sessions it has; for the loop alone.
        self.sessions = 0
        self._turn = threading.Lock()
        self._handles = 0
        self._refusals = 0
        self._minute_began = -math.inf

    def take_handle(self) -> bool:
        """Count one more file or directory as open, if there may be one more."""
        with self._turn:
            has_room = self._handles < MAX_DISTRICT_HANDLES
            self._handles += has_room
            return has_room

    def give_handles(self, count: int) -> None:
        """Count files and directories as closed."""
        with self._turn:
            self._handles -= count

    def may_tell_refusal(self, *, now_seconds: float) -> bool:
        """Count a refusal, and say whether it is still to be told.

        Units:   `now_seconds` by a clock that never goes back.
        """
        with self._turn:
            if now_seconds - self._minute_began >= _MINUTE_SECONDS:
                self._minute_began, self._refusals = now_seconds, 0
            self._refusals += 1
            return self._refusals <= MAX_REFUSALS
