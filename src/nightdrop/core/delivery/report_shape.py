# SPDX-License-Identifier: Apache-2.0
"""The parts of a delivery's report as scripts read them, and as they are stored."""

from datetime import datetime
from typing import TypedDict


class FileJson(TypedDict):
    """A data file of the delivery; `sha256` and `rows` are None until it has been read."""

    name: str
    size_bytes: int
    sha256: str | None
    rows: int | None


class CountsJson(TypedDict):
    """What a load did to one table; None where there was no roster to compare with."""

    added: int | None
    updated: int | None
    deleted: int | None
    unchanged: int | None
    faulty: int


class TransitionJson(TypedDict):
    """One move of the delivery from state to state."""

    before: str
    event: str
    after: str
    at: datetime
    reason: str
