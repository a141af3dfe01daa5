# SPDX-License-Identifier: Apache-2.0
"""Finding the settings of this node.

A setting comes from, last one wins: its default, ``HOME/nightdrop.toml``, a
``NIGHTDROP_`` variable, an option of the command line. A value that cannot be used and
a name that does not exist both stop the start: a misspelt setting that is quietly
ignored is found months later, by its effect.

The names are read here and not by pydantic-settings, which cannot be given another
environment than its process's own and takes no notice of a misspelt variable.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from nightdrop.config.settings import Config, LogFormat, absolute_path, default_home
from nightdrop.core.errors import Refusal

#: What the name of every variable begins with.
PREFIX: Final = "NIGHTDROP_"
#: The file below HOME that may hold settings.
FILE_NAME: Final = "nightdrop.toml"


class ConfigRefused(Refusal):
    """A setting cannot be used as it was given.

    `name` is the setting as its reader wrote it (``NIGHTDROP_SFTP_PORT``, ``--sftp-port``,
    ``sftp_port in /srv/nightdrop.toml``), `value` what was given, without any password,
    `why` what is wrong with it and `mend` what to do.
    """

    code: ClassVar[str] = "bad-setting"

    def __init__(self, name: str, *, value: str, why: str, mend: str) -> None:
        super().__init__(name, value, why, mend)
        self.name = name
        self.value = value
        self.why = why
        self.mend = mend


@dataclass(frozen=True, slots=True)
class _Given:
    """One value as it was given, and how its giver calls it."""

    label: str
    value: object


def load_config(
    environ: Mapping[str, str] | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
) -> Config:
    """Read the settings of this process.

    `environ` defaults to the process's own. `overrides` are options of the command line by
    field name; those that are None were not given. An empty variable counts as not set.

    Raises: ConfigRefused for a value that cannot be used, an unknown name, a broken file.
    """
    if environ is None:
        environ = os.environ
    given = _from_environ(environ)
    given |= {
        name: _Given(f"--{name.replace('_', '-')}", value)
        for name, value in (overrides or {}).items()
        if value is not None
    }
    usual_home = default_home(environ, is_root=os.geteuid() == 0)
    home = given.get("home", _Given(f"{PREFIX}HOME", usual_home))
    given = _from_file(_one_path(home) / FILE_NAME) | given | {"home": home}
    try:
        return Config.model_validate({name: entry.value for name, entry in given.items()})
    except ValidationError as error:
        raise _refused(error.errors()[0], given) from None


def read_secret_key(config: Config) -> str | None:
    """Return the secret that signs sessions; None before the first start made it."""
    try:
        return config.secret_key_file.read_text("utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None


def variable_name(field: str) -> str:
    """Return the variable that sets a field."""
    return PREFIX + field.upper()


def describe_values(field: str) -> str:
    """Say which values a setting takes, for a refusal and for the page of settings."""
    info = Config.model_fields[field]
    if info.annotation is LogFormat:
        return "one of " + ", ".join(LogFormat)
    if info.annotation is bool:
        return "true or false"
    if info.annotation is int or info.annotation is float:
        kind = "a whole number" if info.annotation is int else "a number"
        low, high = _bound(info, "ge"), _bound(info, "le")
        return f"{kind} from {low:g} to {high:g}"
    named = {
        "home": "a directory",
        "tree": "a directory",
        "bind": "an IP address",
        "sftp_legacy_port": "a whole number from 0 to 65535",
        "trusted_proxies": "addresses or networks such as 192.0.2.0/24, separated by commas",
        "public_host": "a host name",
        "allowed_hosts": "host names separated by commas",
    }
    return named.get(field, "a URL postgresql://user:password@host/name")


def _bound(info: FieldInfo, side: str) -> float:
    return next(
        float(getattr(part, side))
        for part in info.metadata
        if getattr(part, side, None) is not None
    )


def _from_environ(environ: Mapping[str, str]) -> dict[str, _Given]:
    known = {variable_name(field): field for field in Config.model_fields}
    given: dict[str, _Given] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        if name not in known:
            raise _unknown(name, value=value, known=list(known), label=name)
        if value:
            given[known[name]] = _Given(name, value)
    return given


def _from_file(path: Path) -> dict[str, _Given]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigRefused(
            str(path), value="", why=f"cannot be read: {why}", mend="mend the file or remove it"
        ) from None
    known = [field for field in Config.model_fields if field != "home"]
    for name, value in values.items():
        if name == "home":
            raise ConfigRefused(
                f"home in {path}",
                value=str(value),
                why="cannot be set in a file that is found through it",
                mend=f"remove it here and set {PREFIX}HOME",
            )
        if name not in known:
            raise _unknown(name, value=str(value), known=known, label=f"{name} in {path}")
    return {name: _Given(f"{name} in {path}", value) for name, value in values.items()}


def _one_path(home: _Given) -> Path:
    path = absolute_path(home.value)
    if isinstance(path, Path):
        return path
    raise ConfigRefused(home.label, value=str(path), why="is not a directory", mend="name one")


def _unknown(name: str, *, value: str, known: list[str], label: str) -> ConfigRefused:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return ConfigRefused(
        label,
        value=_without_password(value),
        why="is not a setting of Nightdrop",
        mend=f"did you mean {near}? Correct the name or remove it",
    )


def _refused(error: ErrorDetails, given: Mapping[str, _Given]) -> ConfigRefused:
    """Turn the first thing that pydantic minds into what a sysadmin can act on."""
    # A fault of several settings together has no place of its own: it is the URL that lacks.
    field = str(error["loc"][0]) if error["loc"] else "database_url"
    entry = given.get(field, _Given(variable_name(field), ""))
    return ConfigRefused(
        entry.label,
        value=_without_password(str(entry.value)),
        why=_REASONS.get(error["type"], error["msg"]),
        mend=f"give {describe_values(field)}",
    )


_REASONS: Final = {
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "bool_parsing": "is neither true nor false",
    "bool_type": "is neither true nor false",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
    "enum": "is not one of the choices",
    "string_type": "is not text",
    "string_too_short": "is empty",
    "string_too_long": "is too long",
    "path_type": "is not a path",
    "tuple_type": "is not a list of names",
}


def _without_password(value: str) -> str:
    """Leave out the password of a URL: refusals are printed and logged."""
    if "://" not in value:
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        return "(not shown)"
    account, at, host = parts.netloc.rpartition("@")
    user = account.partition(":")[0]
    return urlunsplit((parts.scheme, f"{user}{at}{host}", parts.path, "", ""))
