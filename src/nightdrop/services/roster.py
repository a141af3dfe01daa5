# SPDX-License-Identifier: Apache-2.0
"""Reading the roster."""

from collections.abc import Iterator
from typing import ClassVar, Literal
from uuid import UUID

from nightdrop.core.errors import Refusal
from nightdrop.core.formats.generic import GENERIC
from nightdrop.db.access import in_district, roster_connection
from nightdrop.intake.export import export_rows


class UnknownTable(Refusal):
    """The roster has no table of this name."""

    code: ClassVar[str] = "unknown-table"

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table
        self.known = tuple(known.name for known in GENERIC.tables)


def export_table(district: UUID, table: str, *, style: Literal["csv", "jsonl"]) -> Iterator[bytes]:
    """Give a table of a district's roster, ordered by key, in the format's own headings.

    Raises:  UnknownTable, before the first bytes.
    """
    try:
        declared = GENERIC.table(table)
    except KeyError:
        raise UnknownTable(table) from None
    with in_district(district):
        yield from export_rows(roster_connection(), declared, style=style)
