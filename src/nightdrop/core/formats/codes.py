# SPDX-License-Identifier: Apache-2.0
"""What a code of the catalogue of findings is made of.

A code is a stable slug: scripts and mails rely on it, so it is never renamed and never
used for something else. Its words are written for the person in the district's office.
"""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a finding does to the load."""

    #: Nothing of the delivery is loaded.
    BLOCKING = "blocking"
    #: The row is left out, the rest is loaded.
    ERROR = "error"
    #: Nothing is left out; it is worth knowing.
    REMARK = "remark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One kind of finding.

    `title` is a short name for lists. `sentence` tells what was found, about one file;
    it may use ``{column}`` and the facts named in `facts`, apart from ``value``. The
    fact ``value`` quotes what is meant and differs from row to row: the cell, the key of
    the record, or the line when no cell can be told; reports show it as an example.
    `hint` says what to do. `example` shows the fault, and `source` names the rule that
    is broken. A code with `is_once` is found once per file and column, however many rows
    show it.
    """

    slug: str
    severity: Severity
    title: str
    sentence: str
    hint: str
    example: str
    source: str
    facts: tuple[str, ...] = ()
    is_once: bool = False
