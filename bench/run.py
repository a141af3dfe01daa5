# SPDX-License-Identifier: Apache-2.0
"""Every benchmark, one after the other, and one table of what was measured against its goal.

A benchmark is a program of its own. Of what it prints, the lines that say ``(at most 0.55 of
sshd)`` or ``(at least 7 of sshd)`` are results; the number in front of the same unit is what
was measured. A goal that is missed is no failure, for machines differ and other work disturbs;
a benchmark that breaks, or that has nothing to say, is.

Run: python bench/run.py [NAME ...]
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
#: The words after ``python``.
BENCHMARKS: Final[Mapping[str, Sequence[str]]] = {
    "load": ("bench/load.py",),
    "sftp": ("-m", "bench.sftp"),
    "distance": ("-m", "bench.distance"),
    "arrivals": ("-m", "bench.arrivals"),
    "hang": ("-m", "bench.hang"),
}
#: The unit of a limit -> what stands behind the measured number, where that differs.
MEASURED_AS: Final[Mapping[str, str]] = {"of sorted": "of first", "of clean": "of first"}
RESULT: Final = re.compile(
    r"^(?P<name>\S.*?) {2,}.*\(at (?P<side>most|least) (?P<limit>[\d.]+) (?P<unit>[^)]+)\)"
)


@dataclass(frozen=True, slots=True)
class Result:
    """One figure and its goal; `measured` is None where the line is not understood."""

    benchmark: str
    name: str
    measured: float | None
    limit: float
    is_least: bool
    unit: str

    @property
    def verdict(self) -> str:
        """Whether the goal is met."""
        if self.measured is None:
            return "?"
        is_met = self.measured >= self.limit if self.is_least else self.measured <= self.limit
        return "met" if is_met else "NOT MET"


def main() -> int:
    """Run what is asked for; return 1 when something broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := sorted(set(names) - BENCHMARKS.keys()):
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    results: list[Result] = []
    notes: list[str] = []
    is_broken = False
    for name in names:
        start = time.monotonic()
        lines, status = run_benchmark(name)
        found = [result for line in lines if (result := read_result(name, line))]
        results += found
        missing = [line for line in lines if "NO BASELINE" in line]
        notes += [*missing, f"{name}: took {time.monotonic() - start:.0f} s"]
        if status != 0 or not (found or missing):
            notes.append(f"{name}: BROKEN, ended with {status} and {len(found)} results")
            is_broken = True
    show(results, notes=notes)
    return int(is_broken)


def run_benchmark(name: str) -> tuple[list[str], int]:
    """Run one benchmark, showing what it prints; return that and its exit status."""
    print(f"== {name}", flush=True)
    lines: list[str] = []
    command = [sys.executable, "-u", *BENCHMARKS[name]]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    return lines, process.returncode


def read_result(benchmark: str, line: str) -> Result | None:
    """Read a line of a benchmark; None when it is no result."""
    found = RESULT.match(line)
    if found is None:
        return None
    unit = found["unit"]
    measured = re.search(rf"(-?[\d.]+) {re.escape(MEASURED_AS.get(unit, unit))}\b", line)
    return Result(
        benchmark,
        found["name"],
        float(measured[1]) if measured else None,
        float(found["limit"]),
        found["side"] == "least",
        unit,
    )


def show(results: Sequence[Result], *, notes: Sequence[str]) -> None:
    """Print the table."""
    print("\n== summary")
    for result in results:
        measured = "-" if result.measured is None else f"{result.measured:.3f}"
        print(
            f"{result.benchmark:8} {result.name:30} {measured:>9} {result.unit:10}"
            f" at {'least' if result.is_least else 'most':5} {result.limit:<6g} {result.verdict}"
        )
    for note in notes:
        print(note)


if __name__ == "__main__":
    sys.exit(main())
