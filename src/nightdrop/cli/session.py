# SPDX-License-Identifier: Apache-2.0
"""What every command that needs the database does first."""

import json
import logging
import sys
from datetime import datetime
from typing import Any
from uuid import UUID

import typer

from nightdrop.cli.migrate import ensure_migrated
from nightdrop.cli.privileges import prepare_places
from nightdrop.config import Config, load_config
from nightdrop.db.embedded import EmbeddedPostgres


def open_database(context: typer.Context) -> Config:
    """Make the database reachable for as long as this command runs.

    The embedded PostgreSQL is started when nobody has it running, and stopped again by
    whoever leaves last. A database that this version has not prepared is prepared when it
    is our own and refused when it is not.
    """
    config = load_config()
    # A database that is away is told in one line, by whoever asked for it.
    logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
    prepare_places(config)
    if config.is_embedded:
        context.with_resource(EmbeddedPostgres(config.home).attach())
    ensure_migrated(config)
    return config


def print_json(value: object) -> None:
    """Print a value for a script: one JSON document."""
    json.dump(value, sys.stdout, default=_plain, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def print_table(headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Print rows for people, each column as wide as its widest cell."""
    cells = [headings, *(tuple("" if cell is None else str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
