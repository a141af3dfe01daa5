# SPDX-License-Identifier: Apache-2.0
"""Every setting of this node, as one frozen and typed value.

A setting comes from, last one wins: its default, ``HOME/nightdrop.toml``, a
``NIGHTDROP_`` variable, an option of the command line. A value that cannot be used and
a name that does not exist both stop the start: a misspelt setting that is quietly
ignored is found months later, by its effect.

The names are read here and not by pydantic-settings, which cannot be given another
environment than its process's own and takes no notice of a misspelt variable.
`docs/settings.md` is made from the descriptions below.
"""

import difflib
import os
import pwd
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, ClassVar, Final, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from nightdrop.core.errors import Refusal

#: What the name of every variable begins with.
PREFIX: Final = "NIGHTDROP_"
#: The file below HOME that may hold settings.
FILE_NAME: Final = "nightdrop.toml"
#: HOME when root starts Nightdrop and says nothing else.
ROOT_HOME: Final = Path("/var/lib/nightdrop")
#: The system user whose rights the parts and PostgreSQL get when root starts Nightdrop.
SERVICE_USER: Final = "nightdrop"
#: Names under which a console on this machine is always reached.
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")


class LogFormat(StrEnum):
    """How log lines are written to standard error."""

    #: Text on a terminal, JSON anywhere else.
    AUTO = "auto"
    #: One JSON object a line.
    JSON = "json"
    #: For people.
    TEXT = "text"


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


def _split_names(value: object) -> object:
    """Accept ``a, b`` beside a list, since a variable can hold only text."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _absolute(value: object) -> object:
    """Bind a path to the directory of today: a service is not restarted from the same one."""
    if isinstance(value, str | Path):
        return Path(value).expanduser().absolute()
    return value


AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split_names)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Config(BaseModel):
    """All settings. Make it with `load_config`; tests may construct it."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    home: AbsolutePath = Field(
        default_factory=lambda: default_home(os.environ),
        description="Directory of this node's own data: the embedded PostgreSQL, the journal,"
        " the key snapshot and nightdrop.toml.",
    )
    tree: AbsolutePath = Field(
        default_factory=lambda data: data["home"] / "districts",
        description="Directory of the uploaded files; on several nodes a shared file system.",
    )
    database_url: str | None = Field(
        default=None,
        repr=False,
        description="PostgreSQL 15 or newer for the application's role, as"
        " postgresql://user:password@host/name; without it the embedded PostgreSQL runs.",
    )
    database_owner_url: str | None = Field(
        default=None,
        repr=False,
        description="The same database for the role that owns the tables; only migrate and"
        " backup need it.",
    )
    database_operator_url: str | None = Field(
        default=None,
        repr=False,
        description="The same database for the role that sees all districts; operator commands"
        " and the scan need it.",
    )
    bind: str = Field(
        default="127.0.0.1",
        description="IP address that the SFTP and web ports listen on; 0.0.0.0 for all of IPv4,"
        " :: for all.",
    )
    sftp_port: Port = Field(default=2022, description="Port of the SFTP server; 0 for a free one.")
    web_port: Port = Field(default=8080, description="Port of the web console; 0 for a free one.")
    web_workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Number of web processes on this node, of about 115 MB each.",
    )
    public_host: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=253,
        description="Name under which districts reach this service; shown to them and put into"
        " ready-made client files.",
    )
    allowed_hosts: Names = Field(
        default=(),
        description="Further names the web console answers to, separated by commas, besides the"
        " public host and the names of loopback.",
    )
    seal_quiet_seconds: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="How long an epoch must rest after its marker before it is sealed.",
    )
    settle_seconds: float = Field(
        default=60.0,
        ge=0,
        le=86400,
        description="How long a loaded epoch stays in /upload while the session that sent it is"
        " still connected.",
    )
    scan_seconds: int = Field(
        default=60,
        ge=1,
        le=86400,
        description="How often the file tree is searched for sealed epochs that the database does"
        " not know.",
    )
    login_grace_seconds: int = Field(
        default=30,
        ge=1,
        le=600,
        description="How long an SFTP client may take to log in before it is disconnected.",
    )
    sessions_per_district: int = Field(
        default=32,
        ge=1,
        le=10000,
        description="How many SFTP sessions one district may have open on this node.",
    )
    snapshot_max_age_hours: int = Field(
        default=24,
        ge=1,
        le=720,
        description="How old the key snapshot may become, while the database is away, before"
        " logins are refused.",
    )
    snapshot_reread_seconds: int = Field(
        default=30,
        ge=1,
        le=3600,
        description="How often keys are read anew from the database even when nothing was"
        " announced.",
    )
    log_format: LogFormat = Field(
        default=LogFormat.AUTO,
        description="How log lines are written to standard error; auto is text on a terminal and"
        " JSON elsewhere.",
    )

    @field_validator("database_url", "database_owner_url", "database_operator_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
            raise PydanticCustomError(
                "database_url", "is not of the form postgresql://user:password@host/name"
            )
        return value

    @field_validator("bind")
    @classmethod
    def _check_address(cls, value: str) -> str:
        try:
            ip_address(value)
        except ValueError:
            raise PydanticCustomError("ip_address", "is not an IP address") from None
        return value

    @field_validator("web_port")
    @classmethod
    def _check_ports_differ(cls, value: int, info: ValidationInfo) -> int:
        if value and value == info.data.get("sftp_port"):
            raise PydanticCustomError("same_port", "is also the port of the SFTP server")
        return value

    @model_validator(mode="after")
    def _check_urls_together(self) -> Self:
        """Refuse a lonely owner or operator URL: the rest would run on another database."""
        if self.database_url is None and (self.database_owner_url or self.database_operator_url):
            raise PydanticCustomError(
                "lonely_url",
                "is not set although another role's URL is, so the parts would use two databases",
            )
        return self

    @property
    def is_embedded(self) -> bool:
        """Whether Nightdrop runs its own PostgreSQL."""
        return self.database_url is None

    @property
    def web_hosts(self) -> tuple[str, ...]:
        """Every name the web console answers to."""
        return (self.public_host, *self.allowed_hosts, *LOOPBACK_HOSTS)

    @property
    def journal_dir(self) -> Path:
        """Where SFTP events wait until the database has them."""
        return self.home / "journal"

    @property
    def snapshot_file(self) -> Path:
        """The keys as this node last read them."""
        return self.home / "snapshot" / "keys.json"

    @property
    def ports_file(self) -> Path:
        """The ports that a running `serve` really listens on."""
        return self.home / "run" / "ports.json"

    @property
    def shared_dir(self) -> Path:
        """What all nodes share and nobody is served: 0700."""
        return self.tree / "shared"

    @property
    def hostkeys_dir(self) -> Path:
        """The SFTP server's host keys."""
        return self.shared_dir / "hostkeys"

    @property
    def secret_key_file(self) -> Path:
        """The secret that signs web sessions; made at first start."""
        return self.shared_dir / "secret_key"


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
    home = given.get("home", _Given(f"{PREFIX}HOME", default_home(environ)))
    given = _from_file(_one_path(home) / FILE_NAME) | given | {"home": home}
    try:
        return Config.model_validate({name: entry.value for name, entry in given.items()})
    except ValidationError as error:
        raise _refused(error.errors()[0], given) from None


def read_secret_key(config: Config) -> str | None:
    """Return the secret that signs sessions; None before the first start made it."""
    try:
        return config.secret_key_file.read_text("ascii").strip() or None
    except FileNotFoundError:
        return None


def default_home(environ: Mapping[str, str]) -> Path:
    """Return HOME when nobody names one: the system's place for root, else the user's own."""
    if os.geteuid() == 0:
        return ROOT_HOME
    data = environ.get("XDG_DATA_HOME")
    if data and Path(data).is_absolute():
        return Path(data) / "nightdrop"
    user_home = environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir
    return Path(user_home) / ".local" / "share" / "nightdrop"


def variable_name(field: str) -> str:
    """Return the variable that sets a field."""
    return PREFIX + field.upper()


def describe_values(field: str) -> str:
    """Say which values a setting takes, for a refusal and for the page of settings."""
    info = Config.model_fields[field]
    if info.annotation is LogFormat:
        return "one of " + ", ".join(LogFormat)
    if info.annotation is int or info.annotation is float:
        kind = "a whole number" if info.annotation is int else "a number"
        low, high = _bound(info, "ge"), _bound(info, "le")
        return f"{kind} from {low:g} to {high:g}"
    named = {
        "home": "a directory",
        "tree": "a directory",
        "bind": "an IP address",
        "public_host": "a host name",
        "allowed_hosts": "host names separated by commas",
    }
    return named.get(field, "a URL postgresql://user:password@host/name")


def _bound(info: FieldInfo, side: str) -> float:
    return next(
        float(getattr(part, side)) for part in info.metadata if getattr(part, side, None) is not None
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
    except FileNotFoundError:
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
    path = _absolute(home.value)
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
