# SPDX-License-Identifier: Apache-2.0
"""How much memory one session may hold, so that all of a process together stay within bounds.

A client may make the server keep what it has sent ahead, requests that wait to be answered,
and replies that it does not read. The first sessions get plenty; the more there are, the less
the next one gets. A share is for the life of its session: a window that was granted cannot be
taken back. Should a thousand sessions of one process all be hostile, in each way at once, they
hold some 900 MiB.
"""

from dataclasses import dataclass
from typing import Final

from nightdrop.sftp.packets import MAX_PACKET_BYTES

#: Windows are this much together before any session gets less than the most.
_BUDGET_BYTES: Final = 64 * 1024 * 1024
_MOST_WINDOW_BYTES: Final = 2 * 1024 * 1024
_LEAST_WINDOW_BYTES: Final = 128 * 1024
#: The longest request must be able to wait whole, or it would never be answered.
_LEAST_WAITING_BYTES: Final = MAX_PACKET_BYTES + 32 * 1024


@dataclass(frozen=True, slots=True)
class Share:
    """What one session may hold: `window_bytes` is what its client may send ahead."""

    window_bytes: int

    @property
    def waiting_bytes(self) -> int:
        """Bytes of requests that may wait before the channel is no longer read."""
        return max(_LEAST_WAITING_BYTES, self.window_bytes // 2)

    @property
    def reply_bytes(self) -> int:
        """Bytes of replies that are made before the client must take them."""
        return max(MAX_PACKET_BYTES, self.window_bytes // 2)


def choose_share(*, open_sessions: int) -> Share:
    """Return the share of a session that begins beside `open_sessions` others."""
    even_bytes = _BUDGET_BYTES // (open_sessions + 1)
    return Share(max(_LEAST_WINDOW_BYTES, min(_MOST_WINDOW_BYTES, even_bytes)))
