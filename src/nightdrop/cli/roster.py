# SPDX-License-Identifier: Apache-2.0
"""`nightdrop roster`: the roster, as files."""

import sys
from enum import StrEnum

import typer

from nightdrop.cli.session import open_database
from nightdrop.db.access import find_district
from nightdrop.services.roster import export_table

app = typer.Typer(no_args_is_help=True, add_completion=False)


class Style(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"


@app.callback()
def group() -> None:
    """Export the roster.

    Example: nightdrop roster export applegrove.org students > students.csv
    """


@app.command()
def export(
    context: typer.Context,
    username: str,
    table: str = typer.Argument(help="students or guardians."),
    style: Style = typer.Option(Style.CSV, "--format", help="How it is written."),
) -> None:
    """Write a table of a district's roster to standard output, ordered by key.

    Example: nightdrop roster export applegrove.org guardians --format jsonl
    """
    open_database(context)
    for block in export_table(find_district(username).id, table, style=style.value):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
