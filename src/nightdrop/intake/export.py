# SPDX-License-Identifier: Apache-2.0
"""The roster as files: the format's own headings, canonical values, ordered by key.

Everything streams from the server's COPY; a table is never in memory as a whole.
"""

from collections.abc import Iterator
from typing import Literal

import psycopg
from psycopg import sql

from nightdrop.core.formats.spec import Table
from nightdrop.intake.roster_table import RosterTable
from nightdrop.intake.staging import Connection, Cursor

#: The server gives a row at a time; so many bytes are given on at once.
_CHUNK_BYTES = 64 * 1024


def export_rows(
    connection: Connection, table: Table, *, style: Literal["csv", "jsonl"]
) -> Iterator[bytes]:
    """Export the district's rows of a table, in the caller's transaction.

    Shape: UTF-8. `csv`: a line of headings, then RFC 4180 with LF; an empty cell has
           nothing in it. `jsonl`: an object a line, keyed by heading; null for an empty cell.
           Dates are ISO. Ordered by key, byte by byte.
    """
    columns = tuple(column.name for column in table.columns)
    query = RosterTable(table, columns).statement("export_rows")
    with psycopg.Cursor(connection) as cursor:
        rows = _csv(cursor, query) if style == "csv" else _jsonl(cursor, query)
        yield from _in_chunks(rows)


def _csv(cursor: Cursor, query: sql.Composed) -> Iterator[bytes]:
    options = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')")
    with cursor.copy(options.format(query)) as copy:
        for row in copy:
            yield bytes(row)


def _jsonl(cursor: Cursor, query: sql.Composed) -> Iterator[bytes]:
    objects = sql.SQL("COPY (SELECT row_to_json(r) FROM ({}) AS r) TO STDOUT (ENCODING 'UTF8')")
    with cursor.copy(objects.format(query)) as copy:
        copy.set_types(["text"])
        for (line,) in copy.rows():
            yield line.encode() + b"\n"


def _in_chunks(rows: Iterator[bytes]) -> Iterator[bytes]:
    chunk = bytearray()
    for row in rows:
        chunk += row
        if len(chunk) >= _CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)
