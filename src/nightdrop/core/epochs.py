# SPDX-License-Identifier: Apache-2.0
"""Names that mean something below ``/upload``: epochs and markers.

Whether an epoch may be sealed is decided in `storage.seal`; here is only what a name says.
Deliberately absent: ``_auto`` files, which have rules of their own.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from nightdrop.core.errors import Refusal

_EPOCH: Final = re.compile(r"(\d{4})(\d{2})(\d{2})-(\d{2})(\d{2})(\d{2})", re.ASCII)


class NotAnEpochName(Refusal):
    """A directory's name is not that of an epoch; `text` is the name."""

    code: ClassVar[str] = "not-an-epoch-name"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Marker(StrEnum):
    """The file that ends an epoch; its size and content mean nothing."""

    #: Check the epoch and load it.
    COMPLETE = "COMPLETE"
    #: Check the epoch and load nothing; it wins when both are there.
    CHECK = "CHECK"


_MARKERS: Final = {marker.value: marker for marker in Marker}


@dataclass(frozen=True, slots=True)
class EpochName:
    """The name of an epoch directory and the moment it speaks of, if there is such a moment."""

    text: str
    at: datetime | None


def read_epoch_name(text: str) -> EpochName:
    """Read the name of an epoch directory.

    Shape:   ``YYYYMMDD-HHMMSS``, 15 ASCII characters.
    Units:   the sender's wall clock, zone unknown; `at` is naive on purpose.
    Returns: EpochName; `at` is None when the digits are no real time, as in ``20200101-139029``.
    Raises:  NotAnEpochName, carrying `text`.
    """
    match = _EPOCH.fullmatch(text)
    if match is None:
        raise NotAnEpochName(text)
    at: datetime | None = None
    with suppress(ValueError):
        year, month, day, hour, minute, second = map(int, match.groups())
        at = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - zone unknown
    return EpochName(text=text, at=at)


def is_epoch_name(text: str) -> bool:
    """Say whether a directory of this name is an epoch."""
    return _EPOCH.fullmatch(text) is not None


def marker_of(name: str) -> Marker | None:
    """Return which marker a file of this name is; upper and lower case matter."""
    return _MARKERS.get(name)
