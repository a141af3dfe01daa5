# SPDX-License-Identifier: Apache-2.0
"""A bell that every process of this node may ring, and one process listens to.

Shape:   a FIFO in the journal's directory. A ring is a byte in it, which stays there until it
         is heard; so a ring is never lost, whoever is killed, as long as any process has the
         FIFO open. One that is full rings already.

Where the file system has no FIFOs a ring is heard in its own process alone: whoever listens
must look from time to time in any case.
"""

import math
import os
import select
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

_RING: Final = b"\n"
#: More than a FIFO holds, as systems make them: one read empties it.
_ALL_RINGS: Final = 1024 * 1024


class Bell:
    """The bell at `path`, as one process has it; threads may share it."""

    def __init__(self, path: Path) -> None:
        """Make the FIFO unless it is there."""
        own_end, self._wake_end = os.pipe()
        for end in (own_end, self._wake_end):
            os.set_blocking(end, False)
        self._own_end: int | None = own_end
        self._fifo = _open_fifo(path)

    def ring(self) -> None:
        """Make a listener stop waiting, now or the next time, in whichever process it is."""
        self._put(self._wake_end if self._fifo is None else self._fifo)

    def wake(self) -> None:
        """Do the same for a listener in this process alone."""
        self._put(self._wake_end)

    def wait(self, seconds: float, *, is_listener: bool) -> bool:
        """Wait until the bell rings, or `wake` is called, or the time is over.

        Only `is_listener` hears the bell: who hears it silences it for all others.
        Returns: whether anything was heard.
        """
        ends = (self._own_end, self._fifo if is_listener else None)
        heard = [end for end in ends if end is not None]
        poll = select.poll()
        for end in heard:
            poll.register(end, select.POLLIN)
        ringing = [end for end, _ in poll.poll(math.ceil(seconds * 1000))] if heard else []
        for end in ringing:
            with suppress(BlockingIOError):
                os.read(end, _ALL_RINGS)
        return bool(ringing)

    def close(self) -> None:
        """Neither ring nor listen any more."""
        if self._own_end is None:
            return
        ends = (self._own_end, self._wake_end, self._fifo)
        self._own_end = self._fifo = None
        for end in ends:
            if end is not None:
                os.close(end)

    def _put(self, end: int) -> None:
        if self._own_end is not None:
            with suppress(BlockingIOError):
                os.write(end, _RING)


def _open_fifo(path: Path) -> int | None:
    with suppress(OSError):
        os.mkfifo(path, 0o600)
    try:
        # Open for both: then opening does not wait for the other side, nor is it ever missing.
        end = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISFIFO(os.fstat(end).st_mode):
        # Anything else would always be ready to be read, and its listener never rest.
        os.close(end)
        return None
    return end
