# SPDX-License-Identifier: Apache-2.0
"""From a file to the rows of a table: what must be right before a row can be read."""

from datetime import date
from pathlib import Path

from nightdrop.core.formats.findings import FindingLog
from nightdrop.core.formats.headings import match_headings
from nightdrop.core.formats.limits import Limits
from nightdrop.core.formats.spec import Column, Table
from nightdrop.intake.checked import SourceFile
from nightdrop.intake.heading_row import HeadingRow, read_heading_row
from nightdrop.intake.sniff import Encoding, Sniffed
from nightdrop.intake.text_rows import Layout, TextRows
from nightdrop.intake.transcode import transcode

_GIB = 1 << 30


def open_text(
    file: SourceFile,
    *,
    table: Table,
    sniffed: Sniffed,
    scratch: Path,
    today: date,
    log: FindingLog,
    limits: Limits,
) -> TextRows | None:
    """Open a file as the rows of `table`; a file that is not UTF-8 is written anew first.

    Returns: None when no row of it can be read; the log says why.
    Raises:  OSError when the file cannot be read or the scratch file not be written.
    """
    if not _is_readable(file, sniffed, log, limits):
        return None
    path, offset = file.path, sniffed.bom_bytes
    if sniffed.encoding is not None and not sniffed.is_utf_8:
        path, offset = scratch / f"{table.name}.csv", 0
        transcode(file.path, encoding=sniffed.encoding, bom_bytes=sniffed.bom_bytes, target=path)
    row = read_heading_row(path, offset=offset, limits=limits)
    columns = _columns(row, table=table, file_name=file.name, log=log, limits=limits)
    if row is None or columns is None:
        return None
    layout = Layout(columns=columns, start=row.start, first_line=row.first_line)
    return TextRows(path, layout=layout, today=today)


def _is_readable(file: SourceFile, sniffed: Sniffed, log: FindingLog, limits: Limits) -> bool:
    """Report what keeps the whole file from being read, or how it was read."""
    if sniffed.size_bytes == 0:
        log.add("empty-file", file=file.name)
    elif sniffed.size_bytes > limits.file_bytes:
        facts = {"limit": f"{limits.file_bytes / _GIB:g} GiB"}
        log.add("file-too-large", file=file.name, facts=facts)
    elif sniffed.seems is not None:
        log.add("not-csv", file=file.name, facts={"seems": sniffed.seems})
    elif sniffed.encoding is None:
        log.add("unreadable-encoding", file=file.name)
    else:
        if sniffed.encoding is Encoding.WINDOWS_1252:
            log.add("windows-1252", file=file.name)
        elif sniffed.encoding is not Encoding.UTF_8:
            log.add("utf-16", file=file.name)
        return True
    return False


def _columns(
    row: HeadingRow | None, *, table: Table, file_name: str, log: FindingLog, limits: Limits
) -> tuple[Column | None, ...] | None:
    """Match the headings; None when the rows below cannot be read by them."""
    if row is None:
        log.add("empty-file", file=file_name)
        return None
    if row.line > 1:
        log.add("blank-lines", file=file_name, line=1)
    if row.delimiter is not None:
        log.add("wrong-delimiter", file=file_name, facts={"delimiter": row.delimiter})
        return None
    if row.fault is not None:
        log.add("unreadable-headings", file=file_name, line=row.line)
        return None
    if len(row.cells) > limits.columns:
        log.add("too-many-columns", file=file_name, facts={"limit": str(limits.columns)})
        return None
    match = match_headings(table, row.cells, file=file_name, line=row.line)
    log.extend(match.findings)
    columns = _each_once(match.columns)
    return columns if any(columns) else None


def _each_once(columns: tuple[Column | None, ...]) -> tuple[Column | None, ...]:
    """Read a column where it is there for the first time; the repetition is reported."""
    return tuple(
        None if column in columns[:position] else column for position, column in enumerate(columns)
    )
