# SPDX-License-Identifier: Apache-2.0
"""What a process that serves many sets for itself before it begins."""

import resource
import sys
from typing import Final

#: How long one thread may keep the interpreter while another waits for it.
_SWITCH_SECONDS: Final = 0.0005


def prepare_process() -> None:
    """Let threads take turns quickly, and let there be a descriptor for all that may be open.

    A thread that comes back from the disk waits for the interpreter as long as another may keep
    it: 5 ms by default, for each of the dozens of system calls of a listing.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
