# SPDX-License-Identifier: Apache-2.0
"""Chance with a memory: how long to try, and how to try once more what went wrong.

ND_FUZZ_SECONDS is how long each of the tests goes on; ND_FUZZ_CASE runs that one case again, which
is what a failure names.
"""

import os
import time
from collections.abc import Callable
from random import Random, SystemRandom

#: What belongs to `make test`; a soak takes minutes.
SHORT_SECONDS = 5.0
LONG_SECONDS = 180.0

Case = Callable[[Random], None]


def try_cases(case: Case, *, seconds: float) -> int:
    """Try a case with one chance after the other until the time is over; return how many."""
    again = os.environ.get("ND_FUZZ_CASE")
    if again is not None:
        case(Random(again))
        return 1
    seed = SystemRandom().getrandbits(32)
    deadline = time.monotonic() + float(os.environ.get("ND_FUZZ_SECONDS", seconds))
    number = 0
    while time.monotonic() < deadline:
        name = f"{seed}.{number}"
        try:
            case(Random(name))
        except Exception as fault:
            fault.add_note(f"Once more: ND_FUZZ_CASE={name}, after {number} cases that were fine")
            raise
        number += 1
    return number
