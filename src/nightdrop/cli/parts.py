# SPDX-License-Identifier: Apache-2.0
"""`nightdrop serve`, and each part alone."""

import importlib
from contextlib import nullcontext

import typer

from nightdrop.cli.logs import configure_logging
from nightdrop.cli.serve import PARTS, run_serve
from nightdrop.config import Config, load_config
from nightdrop.db.embedded import EmbeddedPostgres

app = typer.Typer()


@app.command()
def serve(
    sftp_port: int | None = typer.Option(None, help="Port of the SFTP server."),
    web_port: int | None = typer.Option(None, help="Port of the console."),
    bind: str | None = typer.Option(None, help="Address to listen on."),
) -> int:
    """Run everything on this machine and keep it running.

    Example: nightdrop serve --bind 0.0.0.0 --sftp-port 22
    """
    config = load_config(overrides={"sftp_port": sftp_port, "web_port": web_port, "bind": bind})
    configure_logging(config, "serve")
    return run_serve(config)


@app.command()
def sftp() -> int:
    """Run the SFTP server alone; other parts may run on other machines.

    Example: nightdrop sftp
    """
    return _run_alone("sftp")


@app.command()
def web() -> int:
    """Run the web console alone.

    Example: nightdrop web
    """
    return _run_alone("web")


@app.command()
def worker() -> int:
    """Run the worker alone: it checks, loads and clears away.

    Example: nightdrop worker
    """
    return _run_alone("worker")
