# SPDX-License-Identifier: Apache-2.0
"""How long reading and checking takes, in multiples of a bare `csv.reader` loop and of sha256.

The files are made here: a night's files as the sample generator writes them, the same
with one row in twenty at fault (in a cell, or in its commas), and 500 students. Each case
runs in a process of its own, because a process never gives back its peak of memory;
the baselines run before each case, so that a busy machine slows both.

Run: python bench/read.py [--students 500000] [--rounds 3] [--directory DIR]
"""

import argparse
import csv
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from nightdrop.core.formats.generic import GENERIC, GUARDIANS, STUDENTS
from nightdrop.intake.check import check_files
from nightdrop.intake.checked import SourceFile
from nightdrop.intake.sample import write_samples

TODAY = date(2026, 9, 1)
FILES = (STUDENTS.file_name, GUARDIANS.file_name)
#: One row in so many is made faulty.
EVERY = 20
SMALL = 500


def main() -> None:
    """Make the files and measure each case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--students", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--case", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, rounds=arguments.rounds)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.directory) as made:
        cases = make_cases(Path(made), students=arguments.students)
        print(f"{'case':16}{'s':>8}{'x csv':>8}{'x sha':>8}{'CPU s':>8}{'MB':>7}")
        for case in cases:
            command = [sys.executable, __file__, "--case", case, "--rounds", arguments.rounds]
            run = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE)
            show(case.name, json.loads(run.stdout))


def make_cases(place: Path, *, students: int) -> list[Path]:
    """Write the files of each case into a directory of its own."""
    sample = place / "sample"
    write_into(sample, students=students)
    write_into(place / "small", students=SMALL)
    for name, spoil in (("faulty cells", spoil_cell), ("faulty rows", spoil_row)):
        target = place / name
        target.mkdir()
        for file in FILES:
            write_spoilt(sample / file, target / file, spoil)
    return [sample, place / "faulty cells", place / "faulty rows", place / "small"]


def write_into(place: Path, *, students: int) -> None:
    """Write the sample files."""
    place.mkdir()
    write_samples(place, students=students, seed=1)


def write_spoilt(source: Path, target: Path, spoil: Callable[[str], str]) -> None:
    """Copy a file, with one line in `EVERY` spoilt."""
    with (
        source.open(encoding="utf-8", newline="") as reader,
        target.open("w", encoding="utf-8", newline="") as writer,
    ):
        writer.writelines(
            spoil(line) if number % EVERY == 1 else line for number, line in enumerate(reader)
        )


def spoil_cell(line: str) -> str:
    """Make the Student Id no identifier."""
    return f"?{line}"


def spoil_row(line: str) -> str:
    """Add a cell to the row."""
    return f"x,{line}"


def measure(case: Path, *, rounds: int) -> dict[str, float]:
    """Measure one case; the first round only warms up."""
    paths = [case / file for file in FILES]
    timed = [
        (elapsed(lambda: read_bare(paths)), elapsed(lambda: hash_bare(paths)), check(paths))
        for _ in range(rounds + 1)
    ][1:]
    return {
        "csv": min(csv_s for csv_s, _, _ in timed),
        "sha": min(sha_s for _, sha_s, _ in timed),
        "s": min(seconds for _, _, (seconds, _) in timed),
        "cpu": min(cpu for _, _, (_, cpu) in timed),
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def check(paths: list[Path]) -> tuple[float, float]:
    """Check the files; return seconds, and seconds of CPU."""
    files = [SourceFile(path.name, path) for path in paths]
    cpu = time.process_time()
    seconds = elapsed(lambda: check_files(files, format=GENERIC, today=TODAY, roster=None).close())
    return seconds, time.process_time() - cpu


def read_bare(paths: list[Path]) -> None:
    """Read the rows and do nothing with them."""
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            for _ in csv.reader(file):
                pass


def hash_bare(paths: list[Path]) -> None:
    """Hash the bytes and do nothing else."""
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")


def elapsed(work: Callable[[], None]) -> float:
    """Return how many seconds `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def show(name: str, found: dict[str, float]) -> None:
    """Print a case."""
    ratios = f"{found['s'] / found['csv']:8.2f}{found['s'] / found['sha']:8.1f}"
    print(f"{name:16}{found['s']:8.3f}{ratios}{found['cpu']:8.2f}{found['mb']:7.0f}")


if __name__ == "__main__":
    main()
