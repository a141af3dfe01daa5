# SPDX-License-Identifier: Apache-2.0
"""`nightdrop serve`, and each part alone."""

import typer

from nightdrop.cli.logs import configure_logging
from nightdrop.cli.serve import run_alone, run_serve
from nightdrop.config import load_config

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    sftp_port: int | None = typer.Option(None, help="Port of the SFTP server."),
    web_port: int | None = typer.Option(None, help="Port of the console."),
    bind: str | None = typer.Option(None, help="Address to listen on."),
) -> None:
    """Run everything on this machine and keep it running.

    Example: nightdrop serve --bind 0.0.0.0 --sftp-port 22
    """
    config = load_config(overrides={"sftp_port": sftp_port, "web_port": web_port, "bind": bind})
    configure_logging(config, "serve")
    raise typer.Exit(run_serve(config))


@app.command()
def sftp() -> None:
    """Run the SFTP server alone; other parts may run on other machines.

    Example: nightdrop sftp
    """
    _run_alone("sftp")


@app.command()
def web() -> None:
    """Run the web console alone.

    Example: nightdrop web
    """
    _run_alone("web")


@app.command()
def worker() -> None:
    """Run the worker alone: it checks, loads and clears away.

    Example: nightdrop worker
    """
    _run_alone("worker")


def _run_alone(name: str) -> None:
    config = load_config()
    configure_logging(config, name)
    raise typer.Exit(run_alone(config, name))
