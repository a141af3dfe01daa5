# SPDX-License-Identifier: Apache-2.0
"""Which formats there are, and which table a file's name stands for.

Formats of other makers come in through the entry point group `ENTRY_POINTS`; reading
entry points is a matter of the installation, so an edge does it and hands the formats on.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nightdrop.core.formats.generic import GENERIC
from nightdrop.core.formats.spec import Format, Table

ENTRY_POINTS = "nightdrop.formats"

#: The formats that come with Nightdrop; the first one is the default.
BUILT_IN: tuple[Format, ...] = (GENERIC,)


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file whose name stands for a table; `is_exact` is False when the case differs."""

    format: Format
    table: Table
    is_exact: bool


def format_named(name: str, *, formats: Iterable[Format] = BUILT_IN) -> Format:
    """Return the format with this `name`; KeyError when there is none."""
    for format_ in formats:
        if format_.name == name:
            return format_
    raise KeyError(name)


def known_file(file_name: str, *, formats: Iterable[Format] = BUILT_IN) -> KnownFile | None:
    """Say which table a file of this name is, comparing without case; None for no table."""
    for format_ in formats:
        for table in format_.tables:
            if file_name.casefold() == table.file_name.casefold():
                return KnownFile(format_, table, is_exact=file_name == table.file_name)
    return None
