# SPDX-License-Identifier: Apache-2.0
"""Checking the files of a delivery: what is there, what is wrong, what could be loaded.

The steps, in this order; a finding never stops the next step, and a file that cannot be
read stops only what needs its rows:

1. `claim_files`: the file's name alone decides which table it is.
2. `sniff` and `open_text`: size, kind, encoding, headings.
3. `read_file`: each row and each cell by itself.
4. `check_across`: rows of one key, children without parents, the share of faulty rows.

Nothing here knows a district or a database; `roster` answers one question.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from nightdrop.core.formats.findings import FindingLog
from nightdrop.core.formats.headings import looks_like
from nightdrop.core.formats.limits import LIMITS, Limits
from nightdrop.core.formats.spec import Format, Table
from nightdrop.intake.cells import CellReader
from nightdrop.intake.check_across import check_duplicates, check_faulty_share, check_parents
from nightdrop.intake.checked import (
    CheckedBundle,
    CheckedFile,
    FileFacts,
    RosterLookup,
    SourceFile,
    Verdict,
)
from nightdrop.intake.claim import Claims, claim_files
from nightdrop.intake.heading_row import read_heading_row
from nightdrop.intake.open_text import open_text
from nightdrop.intake.read_file import ReadFile, read_file
from nightdrop.intake.sniff import Sniffed, sniff


def check_files(
    files: Sequence[SourceFile],
    *,
    format: Format,  # noqa: A002 -- the product's word for it
    today: date,
    roster: RosterLookup | None,
    limits: Limits = LIMITS,
    scratch: Path | None = None,
) -> CheckedBundle:
    """Check the files of a delivery, markers left out.

    `scratch` is where files are written anew that are not UTF-8; the system's place for
    temporary files when None. Close the result to remove them.

    Raises: OSError when a file cannot be read. What is wrong *in* a file is a finding.
    """
    log = FindingLog(limits.findings)
    claims = claim_files(files, of=format, log=log)
    if not files:
        log.add("only-marker")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch)))
        sniffed = {file.name: sniff(file.path) for file in files}
        read = {
            table.name: found
            for table in format.tables
            if (
                found := _read(
                    table,
                    claims,
                    sniffed=sniffed,
                    scratch=place,
                    today=today,
                    log=log,
                    limits=limits,
                )
            )
        }
        _check_across(read, roster=roster, log=log, limits=limits)
        _report_unknown(claims, format, sniffed=sniffed, log=log, limits=limits)
        return CheckedBundle(
            tables={name: _checked(file) for name, file in read.items()},
            files=tuple(_facts(file, claims, sniffed[file.name], read) for file in files),
            findings=log,
            verdict=_verdict(claims, log),
            scratch=stack.pop_all(),
        )


def _read(
    table: Table,
    claims: Claims,
    *,
    sniffed: Mapping[str, Sniffed],
    scratch: Path,
    today: date,
    log: FindingLog,
    limits: Limits,
) -> ReadFile | None:
    file = claims.only_file(table)
    if file is None:
        return None
    text = open_text(
        file,
        table=table,
        sniffed=sniffed[file.name],
        scratch=scratch,
        today=today,
        log=log,
        limits=limits,
    )
    if text is None:
        return None
    columns = [column for column in text.layout.columns if column is not None]
    reader = CellReader(columns, today=today)
    found = read_file(text, table=table, file_name=file.name, reader=reader, log=log, limits=limits)
    if found.is_whole and not found.rows and table.must_have_rows:
        log.add("headings-only", file=file.name)
    return found


def _check_across(
    read: Mapping[str, ReadFile], *, roster: RosterLookup | None, log: FindingLog, limits: Limits
) -> None:
    """Duplicates of all files come first: what is left of the parents decides for the rest."""
    whole = {name: file for name, file in read.items() if file.is_whole}
    for file in whole.values():
        check_duplicates(file, log=log, limits=limits)
    for file in whole.values():
        parent = whole.get(file.table.parent or "")
        if parent is not None and parent.has_keys:
            check_parents(file, parent, roster=roster, log=log)
    for file in whole.values():
        check_faulty_share(file, log=log, limits=limits)


def _report_unknown(
    claims: Claims,
    known: Format,
    *,
    sniffed: Mapping[str, Sniffed],
    log: FindingLog,
    limits: Limits,
) -> None:
    for file in claims.unknown:
        facts = sniffed[file.name]
        row = None
        if facts.seems is None and facts.is_8_bit:
            row = read_heading_row(file.path, offset=facts.bom_bytes, limits=limits)
        table = looks_like(row.cells, formats=(known,)) if row and row.cells else None
        if table is None:
            log.add("unknown-file", file=file.name)
        else:
            log.add("looks-like", file=file.name, facts={"expected": table.file_name})


def _checked(file: ReadFile) -> CheckedFile:
    index = file.index
    has_all_parents = not index["parent_hash"].has_nulls() and not file.has_unknown_parent
    return CheckedFile(
        table=file.table,
        file_name=file.file_name,
        supplied=file.supplied,
        rows=file.rows,
        faulty=file.faulty,
        duplicates=file.duplicates,
        index=file.loadable_index(),
        may_delete=(
            file.table.parent is not None
            and file.is_whole
            and not file.broken_lines
            and has_all_parents
        ),
        faulty_parents=index.filter("is_faulty")["parent_hash"].drop_nulls().unique(),
        text=file.text,
    )


def _facts(
    file: SourceFile, claims: Claims, sniffed: Sniffed, read: Mapping[str, ReadFile]
) -> FileFacts:
    table = next((name for name, files in claims.files.items() if file in files), None)
    found = read.get(table or "")
    return FileFacts(
        name=file.name,
        size_bytes=sniffed.size_bytes,
        sha256=sniffed.sha256,
        rows=found.rows if found else None,
        table=table,
    )


def _verdict(claims: Claims, log: FindingLog) -> Verdict:
    if log.is_blocking:
        return Verdict.BLOCKED
    if not claims.files:
        return Verdict.UNRECOGNISED
    return Verdict.FAULTY if log.counts()["error"] else Verdict.CLEAN
