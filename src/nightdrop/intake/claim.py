# SPDX-License-Identifier: Apache-2.0
"""Which file is which table: its name alone decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nightdrop.core.formats.findings import FindingLog
from nightdrop.core.formats.spec import Format, Table
from nightdrop.intake.checked import SourceFile


@dataclass(frozen=True, slots=True)
class Claims:
    """The files by the name of their table; a table with two files has both."""

    files: Mapping[str, Sequence[SourceFile]]
    unknown: Sequence[SourceFile]

    def only_file(self, table: Table) -> SourceFile | None:
        """Return the file of a table that has exactly one."""
        files = self.files.get(table.name, ())
        return files[0] if len(files) == 1 else None


def claim_files(files: Sequence[SourceFile], *, of: Format, log: FindingLog) -> Claims:
    """Give each file to the table that its name stands for, capital letters or not."""
    tables = {table.file_name.casefold(): table for table in of.tables}
    claimed: dict[str, list[SourceFile]] = {}
    unknown = []
    for file in files:
        table = tables.get(file.name.casefold())
        if table is None:
            unknown.append(file)
            continue
        claimed.setdefault(table.name, []).append(file)
        if file.name != table.file_name:
            log.add("file-name-case", file=file.name, facts={"expected": table.file_name})
    for same in claimed.values():
        for file in same[1:]:
            log.add("two-files-for-one-table", file=file.name, facts={"other": same[0].name})
    _report_missing_parents(claimed, of=of, log=log)
    return Claims(claimed, unknown)


def _report_missing_parents(
    claimed: Mapping[str, Sequence[SourceFile]], *, of: Format, log: FindingLog
) -> None:
    for table in of.tables:
        if table.name in claimed and table.parent is not None and table.parent not in claimed:
            log.add("guardians-without-students", file=claimed[table.name][0].name)
