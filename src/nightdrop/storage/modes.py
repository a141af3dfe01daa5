# SPDX-License-Identifier: Apache-2.0
"""What the permission bits of an uploaded file say about it.

The bits travel with the file through every rename and outlive the process that set them. Nobody
but the owner reaches these files (the district's directory is 0700), so that the execute bits
are free to count.

``0600``  written to by one handle, or not arrived whole. Execute bits beside it count the
          further handles (u+x 1, g+x 2, o+x 4). A clean close gives its count back; a broken
          connection or a killed process never does, and so the file cannot become whole.
``0640``  whole: its last handle was closed cleanly and every other one before it.
``0641``  whole, and that close came after the marker's.
``0440``  in a sealed epoch, whose directories are ``0550``.
"""

import stat
from typing import Final

WRITING: Final = 0o600
WHOLE: Final = 0o640
WHOLE_LATE: Final = 0o641
SEALED_FILE: Final = 0o440
DIRECTORY: Final = 0o750
SEALED_DIRECTORY: Final = 0o550
PRIVATE_DIRECTORY: Final = 0o700

#: Handles that may write to one file at one time.
MAX_WRITERS: Final = 8

_COUNTS: Final = ((stat.S_IXUSR, 1), (stat.S_IXGRP, 2), (stat.S_IXOTH, 4))


def is_whole(mode: int) -> bool:
    """Say whether a file with this mode arrived whole."""
    return stat.S_IMODE(mode) in {WHOLE, WHOLE_LATE}


def is_late(mode: int) -> bool:
    """Say whether a file with this mode arrived whole after its epoch's marker."""
    return stat.S_IMODE(mode) == WHOLE_LATE


def read_further_writers(mode: int) -> int:
    """Return how many handles beside the first one a file that is not whole waits for."""
    return sum(count for bit, count in _COUNTS if mode & bit)


def write_further_writers(count: int) -> int:
    """Return the mode of a file that is written to by `count` handles beside the first."""
    return WRITING | sum(bit for bit, worth in _COUNTS if count & worth)
