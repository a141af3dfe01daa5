# SPDX-License-Identifier: Apache-2.0
"""`nightdrop operator`: invite the staff of whoever runs this installation."""

import json
import secrets
from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import uuid4

import typer

from nightdrop.cli.session import open_database
from nightdrop.config import Config
from nightdrop.services.people import invite_operator

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def group() -> None:
    """Invite operators.

    Example: nightdrop operator add you@example.org
    """


@app.command()
def add(context: typer.Context, email: str) -> None:
    """Invite an operator; prints the link, which works once and for 90 days.

    Example: nightdrop operator add you@example.org
    """
    config = open_database(context)
    path = invite_operator(
        email, invitation=uuid4(), token=secrets.token_urlsafe(32), now=datetime.now(UTC)
    )
    typer.echo(f"{_address(config)}{path}")
    typer.echo("Open this link in a browser; it works once, for 90 days.", err=True)


def _address(config: Config) -> str:
    """Return where a browser finds the console: plain HTTP is served on loopback only."""
    if ip_address(config.bind).is_loopback:
        return f"http://localhost:{_web_port(config)}"
    return f"https://{config.public_host}"


def _web_port(config: Config) -> int:
    """Return the port that the console really listens on, when it runs on this machine."""
    try:
        ports = json.loads(config.ports_file.read_text())
    except FileNotFoundError:
        return config.web_port
    return int(ports.get("web", config.web_port))
