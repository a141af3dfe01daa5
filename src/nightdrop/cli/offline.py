# SPDX-License-Identifier: Apache-2.0
"""The commands that need no server: `nightdrop check` and `nightdrop sample`."""

from pathlib import Path

import typer

from nightdrop.cli.check import run_check
from nightdrop.cli.sample import run_sample

app = typer.Typer(add_completion=False)


@app.command()
def check(
    paths: list[Path] = typer.Argument(help="A folder, a zip archive, or CSV files."),
    as_json: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """Check files as the server would, before they are sent.

    Ends with 0 when they would be loaded, 1 when something blocks that.

    Example: nightdrop check export/students.csv export/guardians.csv
    """
    raise typer.Exit(run_check(paths, as_json=as_json))


@app.command()
def sample(
    directory: Path = typer.Argument(help="Where the files are written."),
    students: int = typer.Option(..., help="How many students."),
    seed: int = typer.Option(1, help="The same seed makes the same bytes."),
) -> None:
    """Write made-up but lifelike files.

    Example: nightdrop sample --students 500 night/
    """
    raise typer.Exit(run_sample(directory, students=students, seed=seed))
