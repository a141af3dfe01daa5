# SPDX-License-Identifier: Apache-2.0
"""`nightdrop`: finds the command that was asked for and loads only its module.

Offline commands (`check`, `sample`) answer at once because nothing else is imported;
commands that need the database set Django up first, and only then import their module,
which reaches models at its top.
"""

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Any

import click
import typer
from typer.core import TyperGroup
from typer.main import get_command as command_of

from nightdrop import __version__
from nightdrop.cli.errors import explain
from nightdrop.core.errors import Refusal


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives: a module with a Typer application called `app`."""

    module: str
    help: str
    needs_django: bool = True


COMMANDS: dict[str, Entry] = {
    "serve": Entry("nightdrop.cli.parts", "Run everything on this machine: SFTP, web, worker."),
    "sftp": Entry("nightdrop.cli.parts", "Run the SFTP server alone."),
    "web": Entry("nightdrop.cli.parts", "Run the web console alone."),
    "worker": Entry("nightdrop.cli.parts", "Run the worker alone."),
    "migrate": Entry("nightdrop.cli.migrate", "Bring the database to this version."),
    "doctor": Entry("nightdrop.cli.health", "Ask every part whether it answers.", False),
    "demo": Entry("nightdrop.cli.demo", "Show a whole night in a scratch directory.", False),
    "district": Entry("nightdrop.cli.district", "Make districts and change them."),
    "key": Entry("nightdrop.cli.key", "Install, list and revoke keys."),
    "delivery": Entry("nightdrop.cli.delivery", "See what was delivered and what became of it."),
    "roster": Entry("nightdrop.cli.roster", "Export the roster."),
    "operator": Entry("nightdrop.cli.operator", "Invite operators."),
    "check": Entry("nightdrop.cli.offline", "Check files without a server.", False),
    "sample": Entry("nightdrop.cli.offline", "Write made-up but lifelike files.", False),
}


class LazyCommands(TyperGroup):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command, in the order in which a newcomer meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command; only its summary when the list of all is asked for."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if ctx.resilient_parsing or _is_listing(ctx):
            return click.Command(cmd_name, help=entry.help)
        if entry.needs_django:
            set_up_django()
        loaded = command_of(importlib.import_module(entry.module).app)
        if isinstance(loaded, click.Group) and cmd_name in loaded.commands:
            return loaded.commands[cmd_name]
        return loaded


app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def nightdrop(
    version: bool = typer.Option(False, "--version", help="Print the version and end."),
) -> None:
    """A bank's night drop for school districts.

    Example: nightdrop serve
    """
    if version:
        typer.echo(f"nightdrop {__version__}")
        raise typer.Exit


def set_up_django() -> None:
    """Set Django up, once; the settings read the configuration and refuse a bad one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nightdrop.site.settings")
    importlib.import_module("django").setup()


def main(arguments: list[str] | None = None) -> None:
    """Run a command and end the process: 0, 1 refused or failed, 2 wrong usage."""
    try:
        code: Any = app(args=arguments, standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Refusal as refusal:
        typer.echo(f"nightdrop: {explain(refusal)}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _is_listing(ctx: click.Context) -> bool:
    """Tell whether only the summaries are wanted, as by `nightdrop --help`."""
    return not ctx.protected_args and not ctx.args
