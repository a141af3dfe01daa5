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
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command as command_of

from nightdrop import __version__
from nightdrop.cli.errors import explain
from nightdrop.cli.refusals import DatabaseAway
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
    "connections": Entry("nightdrop.cli.connections", "See who tried to log in, and why not."),
    "audit": Entry("nightdrop.cli.audit", "See everything that happened in an account."),
    "hostkey": Entry("nightdrop.cli.hostkey", "Show and replace the host keys.", False),
    "penalty": Entry("nightdrop.cli.penalty", "See who must wait to log in, and lift it.", False),
    "operator": Entry("nightdrop.cli.operator", "Invite operators."),
    "check": Entry("nightdrop.cli.offline", "Check files without a server.", False),
    "sample": Entry("nightdrop.cli.offline", "Write made-up but lifelike files.", False),
}


class LazyCommands(TyperGroup):
    """A group whose commands are imported when they are run.

    Typer brings its own copy of Click and gives its types no public names.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - as the class says
        """Name every command, in the order in which a newcomer meets them."""
        del ctx
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """List the commands without loading any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """Load one command."""
        del ctx
        return load_command(cmd_name)


def load_command(name: str) -> Any:  # noqa: ANN401 - as above
    """Import the module of a command and return the command; None when there is none."""
    entry = COMMANDS.get(name)
    if entry is None:
        return None
    if entry.needs_django:
        set_up_django()
    loaded = command_of(importlib.import_module(entry.module).app)
    return getattr(loaded, "commands", {}).get(name, loaded)


app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def nightdrop(
    version: bool = typer.Option(False, "--version", help="Print the version and end."),
) -> None:
    """Run a bank's night drop for school districts.

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
        app(args=arguments)
    except Refusal as refusal:
        _end(explain(refusal))
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - a traceback helps no reader of a command
        if type(error).__name__ in {"OperationalError", "PoolTimeout"}:
            _end(explain(DatabaseAway(str(error).strip().partition("\n")[0])))
        _end(f"a fault of ours ({type(error).__name__}: {error}); please report it")


def _end(line: str) -> NoReturn:
    typer.echo(f"nightdrop: {line}", err=True)
    sys.exit(1)
