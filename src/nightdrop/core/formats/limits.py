# SPDX-License-Identifier: Apache-2.0
"""How large a district's files may be before reading them stops with a finding.

A limit is never a crash and never a swollen worker: the reader stops at it and says so.
Readers take a `Limits`, so that tests can show each limit with a small file.
"""

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one check; the defaults are the product's."""

    file_bytes: int = 2048 * _MIB
    rows: int = 20_000_000
    cell_bytes: int = _MIB
    columns: int = 500
    #: How many findings of one delivery are stored; all are counted.
    findings: int = 10_000
    #: A table is blocked when more than this share *and* more than `faulty_rows` are faulty.
    faulty_share: float = 0.05
    faulty_rows: int = 10
    #: More than this share of identical rows blocks a table.
    duplicate_share: float = 0.05


LIMITS = Limits()
