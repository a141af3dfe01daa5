# SPDX-License-Identifier: Apache-2.0
"""docs/cli.md, from the commands themselves."""

import click
from typer.main import get_command

from nightdrop.cli.main import COMMANDS, app

HEAD = """\
# The command line

Made by `make docs` from the commands themselves; do not edit.

Every command has `--help`. Errors are one line on standard error. A command ends with 0,
with 1 when something was refused or failed, with 2 when it was called wrongly.
"""


def write_commands_page() -> str:
    """Return the page: every command with its arguments, options and example."""
    root = get_command(app)
    if not isinstance(root, click.Group):
        raise TypeError("the command line is a group of commands")
    context = click.Context(root, info_name="nightdrop")
    context.args = ["page"]
    lines = [HEAD]
    for name in COMMANDS:
        command = root.get_command(context, name)
        if command is not None:
            lines += _describe(command, f"nightdrop {name}")
    return "\n".join(lines)


def _describe(command: click.Command, path: str) -> list[str]:
    if isinstance(command, click.Group):
        lines = [f"## {path}", "", _first_paragraph(command), ""]
        for name, inner in command.commands.items():
            lines += _describe(inner, f"{path} {name}")
        return lines
    context = click.Context(command, info_name=path)
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    level = "###" if path.count(" ") > 1 else "##"
    lines = [f"{level} {path} {usage}".rstrip(), "", _text(command), ""]
    options = [
        f"- `{', '.join(option.opts)}`: {option.help}"
        for option in command.params
        if isinstance(option, click.Option) and option.help and "--help" not in option.opts
    ]
    return [*lines, *options, ""] if options else lines


def _first_paragraph(command: click.Command) -> str:
    return (command.help or "").split("\n\n")[0].strip()


def _text(command: click.Command) -> str:
    said, _, example = (command.help or "").partition("Example:")
    text = " ".join(said.split())
    return f"{text}\n\nExample: `{example.strip()}`" if example else text
