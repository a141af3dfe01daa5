# SPDX-License-Identifier: Apache-2.0
"""docs/settings.md, from the settings themselves."""

from typing import Final

from nightdrop.config import Config, describe_values, variable_name

_HEAD: Final = """\
# Settings

Made by `make docs` from the settings themselves; do not edit.

A setting is read from, last one wins: its default; `nightdrop.toml` in the home directory,
where its name is in lower case and without `NIGHTDROP_`; a variable of the environment; an
option of the command line. A value that cannot be used and a name that does not exist stop
the start with one line that says what to do.

| variable | value | default | what it does |
|---|---|---|---|
"""

#: Defaults that depend on the machine, told in words.
_DEFAULTS: Final = {
    "home": "`/var/lib/nightdrop` for root, else `nightdrop` in `$XDG_DATA_HOME` or in"
    " `~/.local/share`",
    "tree": "`districts` in the home directory",
    "sftp_workers": "the number of processors, at most 4",
    "public_host": "the machine's host name",
}


def write_settings_page() -> str:
    """Return the page: one row for each setting."""
    rows = [
        f"| `{variable_name(field)}` | {describe_values(field)} | {_default(field)}"
        f" | {info.description} |\n"
        for field, info in Config.model_fields.items()
    ]
    return _HEAD + "".join(rows)


def _default(field: str) -> str:
    if field in _DEFAULTS:
        return _DEFAULTS[field]
    default = Config.model_fields[field].default
    return "none" if default is None or default == () else f"`{default}`"
