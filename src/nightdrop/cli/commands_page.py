# SPDX-License-Identifier: Apache-2.0
"""docs/cli.md, from the commands themselves."""

from typing import Any

from nightdrop.cli.main import COMMANDS, load_command

HEAD = """\
# The command line

Made by `make docs` from the commands themselves; do not edit.

Every command has `--help`. Errors are one line on standard error. A command ends with 0,
with 1 when something was refused or failed, with 2 when it was called wrongly.
"""


def write_commands_page() -> str:
    """Return the page: every command with its arguments, options and example."""
    lines = [HEAD]
    for name in COMMANDS:
        lines += _describe(load_command(name), f"nightdrop {name}")
    return "\n".join(lines)


def _describe(command: Any, path: str) -> list[str]:  # noqa: ANN401 - Typer names no type
    inner_commands = getattr(command, "commands", None)
    if inner_commands:
        lines = [f"## {path}", "", _text(command), ""]
        for name, inner in inner_commands.items():
            lines += _describe(inner, f"{path} {name}")
        return lines
    arguments = [_usage(found) for found in command.params if _is_argument(found)]
    level = "###" if path.count(" ") > 1 else "##"
    lines = [f"{level} {' '.join([path, *arguments])}", "", _text(command), ""]
    options = [
        f"- `{', '.join(found.opts)}`: {found.help}"
        for found in command.params
        if not _is_argument(found) and found.help
    ]
    return [*lines, *options, ""] if options else lines


def _is_argument(parameter: Any) -> bool:  # noqa: ANN401
    return str(parameter.param_type_name) == "argument"


def _usage(argument: Any) -> str:  # noqa: ANN401
    name = argument.metavar or argument.name.upper()
    return f"{name}..." if argument.nargs == -1 else str(name)


def _text(command: Any) -> str:  # noqa: ANN401
    said, _, example = (command.help or "").partition("Example:")
    text = " ".join(said.split())
    return f"{text}\n\nExample: `{example.strip()}`" if example else text
