# SPDX-License-Identifier: Apache-2.0
"""The settings themselves: one frozen, typed value, and what each of its fields means.

`docs/settings.md` is made from the descriptions below. How the values are found is in
`config.reading`.
"""

import os
import pwd
import socket
import sys
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from nightdrop.core.quota import Amount

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


def default_home(environ: Mapping[str, str], *, is_root: bool) -> Path:
    """Return HOME when nobody names one: the system's place for root, else the user's own."""
    if is_root:
        return ROOT_HOME
    data = environ.get("XDG_DATA_HOME")
    if data and Path(data).is_absolute():
        return Path(data) / "nightdrop"
    user_home = environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir
    return Path(user_home) / ".local" / "share" / "nightdrop"


def default_sftp_workers() -> int:
    """Return how many processors this process may use, at most 4."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(usable, 4)


def _split_names(value: object) -> object:
    """Accept ``a, b`` beside a list, since a variable can hold only text."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def absolute_path(value: object) -> object:
    """Return a path that does not move with the working directory.

    A service is seldom restarted from the directory it was first started in. What is no
    path is left for pydantic to refuse.
    """
    if isinstance(value, str | Path):
        return Path(value).expanduser().absolute()
    return value


AbsolutePath = Annotated[Path, BeforeValidator(absolute_path)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split_names)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Config(BaseModel):
    """All settings. Make it with `load_config`; tests may construct it."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    home: AbsolutePath = Field(
        default_factory=lambda: default_home(os.environ, is_root=os.geteuid() == 0),
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
    sftp_legacy_port: Port | None = Field(
        default=None,
        description="Further port of the SFTP server for clients that know only older key"
        " exchanges and MACs, such as libssh2 before 1.11; 0 for a free one. No SHA-1"
        " there either.",
    )
    sftp_workers: int = Field(
        default_factory=default_sftp_workers,
        ge=1,
        le=16,
        description="Number of SFTP processes on this node, which share its port; each takes"
        " about 15 MB more.",
    )
    web_workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Number of web processes on this node, of about 115 MB each.",
    )
    trusted_proxies: Names = Field(
        default=(),
        description="Addresses and networks of load balancers, separated by commas. What connects"
        " to the SFTP server from there must send a PROXY protocol header, version 1 or 2.",
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
    login_slots: int = Field(
        default=1000,
        ge=1,
        le=10000,
        description="How many SFTP connections that have not logged in may wait on this node;"
        " three quarters of them may come from where nobody has logged in for 7 days.",
    )
    login_slots_per_source: int = Field(
        default=50,
        ge=1,
        le=10000,
        description="How many of these may come from one IPv4 address or IPv6 /64; ten times as"
        " many from where somebody has logged in within 7 days.",
    )
    penalties: bool = Field(
        default=True,
        description="Whether somebody whose logins fail again and again must wait for longer and"
        " longer.",
    )
    penalty_room: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="How many failed logins cost nothing; ten times as many from where somebody"
        " has logged in within 7 days. They are forgotten after an hour without another.",
    )
    penalty_most_seconds: int = Field(
        default=600,
        ge=1,
        le=3600,
        description="How long a wait after a failed login may become; the first is one second,"
        " each further one twice as long.",
    )
    sessions_per_district: int = Field(
        default=32,
        ge=1,
        le=10000,
        description="How many SFTP sessions one district may have open on this node.",
    )
    quota_gib: int = Field(
        default=50,
        ge=1,
        le=1_000_000,
        description="How many GiB a district may have in /upload, unless district set says"
        " otherwise; sealed epochs that nobody has decided on count half of it at most.",
    )
    quota_files: int = Field(
        default=200_000,
        ge=1,
        le=100_000_000,
        description="How many files and directories a district may have in /upload, unless"
        " district set says otherwise.",
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
    journal_max_mib: int = Field(
        default=1024,
        ge=64,
        le=1024 * 1024,
        description="How many MiB of events may wait on this node while the database is away;"
        " beyond that the oldest about files are given up, and no others.",
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

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ip_network(network)
            except ValueError:
                raise PydanticCustomError(
                    "ip_network", "has something that is no address or network"
                ) from None
        return value

    @field_validator("web_port")
    @classmethod
    def _check_ports_differ(cls, value: int, info: ValidationInfo) -> int:
        if value and value == info.data.get("sftp_port"):
            raise PydanticCustomError("same_port", "is also the port of the SFTP server")
        return value

    @field_validator("sftp_legacy_port")
    @classmethod
    def _check_legacy_port_differs(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value and value == info.data.get("sftp_port"):
            raise PydanticCustomError("same_port", "is also the port of the SFTP server")
        if value and value == info.data.get("web_port"):
            raise PydanticCustomError("same_port", "is also the port of the web console")
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
    def quota(self) -> Amount:
        """What a district may have in /upload when nothing was set for it."""
        return Amount(size_bytes=self.quota_gib * 2**30, files=self.quota_files)

    @property
    def journal_dir(self) -> Path:
        """Where SFTP events wait until the database has them."""
        return self.home / "journal"

    @property
    def journal_max_bytes(self) -> int:
        """How large the journal of this node may become."""
        return self.journal_max_mib * 2**20

    @property
    def snapshot_file(self) -> Path:
        """The keys as this node last read them."""
        return self.home / "snapshot" / "keys.json"

    @property
    def ledger_file(self) -> Path:
        """What the SFTP processes of this node know together: who is there, who must wait."""
        return self.home / "run" / "ledger"

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
