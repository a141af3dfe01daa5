# SPDX-License-Identifier: Apache-2.0
"""`nightdrop sample`: write made-up but lifelike files."""

import sys
from pathlib import Path

from nightdrop.intake.sample import write_samples


def run_sample(directory: Path, *, students: int, seed: int) -> int:
    """Write students.csv and guardians.csv into a directory and say so.

    Returns: the exit code: 0; 1 when the files cannot be written; 2 for a number of
             students that is not at least 1.
    """
    if students < 1:
        print(f"nightdrop: --students must be at least 1, not {students}", file=sys.stderr)
        return 2
    try:
        paths = write_samples(directory, students=students, seed=seed)
    except OSError as error:
        print(f"nightdrop: {directory}: {error.strerror}", file=sys.stderr)
        return 1
    for path in paths:
        print(f"wrote {path} ({path.stat().st_size:,} bytes)")
    return 0
