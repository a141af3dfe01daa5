# SPDX-License-Identifier: Apache-2.0
"""How a figure and its goal are printed: `run.py` reads these lines again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """The most, or the least, that a figure may be, in its unit."""

    limit: float
    is_least: bool = False

    def __str__(self) -> str:
        return f"at {'least' if self.is_least else 'most'} {self.limit:g}"

    def verdict(self, value: float) -> str:
        """Say whether a figure is as it should be."""
        is_met = value >= self.limit if self.is_least else value <= self.limit
        return "met" if is_met else "NOT MET"


def show_figure(
    name: str, value: float, unit: str, *, goal: Goal | None = None, remark: str = ""
) -> None:
    """Print a figure, with its goal and whether it is met."""
    line = f"{name:30} {remark + '  ' if remark else ''}{value:9.3f} {unit}"
    if goal is not None:
        line += f"  ({goal} {unit})  {goal.verdict(value)}"
    print(line, flush=True)


def percentile(values: list[float], percent: float) -> float:
    """Return the value that `percent` of all are not above."""
    ordered = sorted(values)
    place = min(len(ordered) - 1, int(len(ordered) * percent / 100))
    return ordered[place]
