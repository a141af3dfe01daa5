# SPDX-License-Identifier: Apache-2.0
"""`nightdrop doctor`: ask every part whether it answers."""

import typer

from nightdrop.cli.doctor import run_doctor
from nightdrop.config import load_config

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    wait: float | None = typer.Option(None, help="Ask again for so many seconds."),
    as_json: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """Ask every part whether it answers. Ends with 0 when all do.

    Example: nightdrop doctor --wait 60
    """
    raise typer.Exit(run_doctor(load_config(), wait_seconds=wait, as_json=as_json))
