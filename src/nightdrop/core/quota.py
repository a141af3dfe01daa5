# SPDX-License-Identifier: Apache-2.0
"""How much a district may have in ``/upload``, and how what it has counts. Pure.

What lies in sealed epochs counts half of the quota at the most: those wait for somebody who
decides, and a district must be able to go on sending meanwhile.
"""

from dataclasses import dataclass, field
from typing import Final

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")
_UNIT: Final = 1024


@dataclass(frozen=True, slots=True)
class Amount:
    """Files and directories: how many they are, and the bytes of the files."""

    size_bytes: int = 0
    files: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.size_bytes + other.size_bytes, self.files + other.files)

    def __sub__(self, other: "Amount") -> "Amount":
        """Take away; nothing is the least that there can be."""
        return Amount(max(self.size_bytes - other.size_bytes, 0), max(self.files - other.files, 0))

    def at_most(self, other: "Amount") -> "Amount":
        """Return the smaller of both in each respect."""
        return Amount(min(self.size_bytes, other.size_bytes), min(self.files, other.files))


@dataclass(frozen=True, slots=True)
class Usage:
    """What a district has in ``/upload``: `sealed` in sealed epochs, `open` everything else."""

    open: Amount = field(default_factory=Amount)
    sealed: Amount = field(default_factory=Amount)

    def adding(self, amount: Amount) -> "Usage":
        """Return this with more outside of sealed epochs."""
        return Usage(self.open + amount, self.sealed)

    def freeing(self, amount: Amount) -> "Usage":
        """Return this with less outside of sealed epochs."""
        return Usage(self.open - amount, self.sealed)

    def sealing(self, amount: Amount) -> "Usage":
        """Return this after an epoch was sealed."""
        return Usage(self.open - amount, self.sealed + amount)

    def moving_away(self, amount: Amount) -> "Usage":
        """Return this after a sealed epoch was moved away."""
        return Usage(self.open, self.sealed - amount)

    def count_against(self, quota: Amount) -> Amount:
        """Return what of this counts against a quota."""
        return Amount(
            self.open.size_bytes + min(self.sealed.size_bytes, quota.size_bytes // 2),
            self.open.files + min(self.sealed.files, quota.files // 2),
        )

    def find_left(self, quota: Amount) -> Amount:
        """Return what a quota still has room for."""
        return quota - self.count_against(quota)


def choose_quota(size_bytes: int | None, files: int | None, *, default: Amount) -> Amount:
    """Return what a district may have: what was set for it, else what all may have."""
    return Amount(
        default.size_bytes if size_bytes is None else size_bytes,
        default.files if files is None else files,
    )


def write_size(size_bytes: int) -> str:
    """Write a number of bytes for people, such as ``49.9 GiB``."""
    if size_bytes < _UNIT:
        return f"{size_bytes} bytes"
    size, unit = float(size_bytes), ""
    for unit in _UNITS:  # noqa: B007 - the last one is the one
        size /= _UNIT
        if size < _UNIT:
            break
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"
