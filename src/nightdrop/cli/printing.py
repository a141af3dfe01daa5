# SPDX-License-Identifier: Apache-2.0
"""How commands print what they found: for people, or for a script."""

import json
import sys
from datetime import date
from typing import Any
from uuid import UUID

import typer


def print_json(value: object) -> None:
    """Print a value for a script: one JSON document."""
    json.dump(value, sys.stdout, default=_plain, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def print_table(headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Print rows for people, each column as wide as its widest cell."""
    cells = [headings, *(tuple(map(_show_cell, row)) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())


def as_plain_text(text: str) -> str:
    """Return a text that a terminal only shows.

    Names of files come from clients, and may hold what would recolour, overwrite or reverse
    the lines around them; that is shown as Python writes it in a string.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def _show_cell(cell: object) -> str:
    return "" if cell is None else as_plain_text(str(cell))


def _plain(value: object) -> str:
    # A moment is a date, too.
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
