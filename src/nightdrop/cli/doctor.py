# SPDX-License-Identifier: Apache-2.0
"""`nightdrop doctor`: asks every part whether it answers, and says what to do if not.

It asks as a stranger would, over the network and the database's own protocol, so that it
finds what a part does not know of itself. It starts nothing. What will be missing soon (room on
a disk, room for a district) is told as a warning: everything answers all the same.
"""

import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_network
from typing import Any, Final, LiteralString

import psycopg

from nightdrop.config import Config, variable_name
from nightdrop.core.addresses import read_address
from nightdrop.core.quota import choose_quota, write_size
from nightdrop.db.embedded import connection_params
from nightdrop.db.embedded_account import acting_as, server_account
from nightdrop.db.roles import Role
from nightdrop.storage.errors import NoSuchDistrict
from nightdrop.storage.journal_size import measure_journal
from nightdrop.storage.tree import Tree
from nightdrop.storage.usage import look_at_count

#: How long a part may take to answer.
_PATIENCE_SECONDS: Final = 5
#: A worker's heart beats every two seconds; one that missed so many seconds is not well.
_HEARTBEAT_SECONDS: Final = 10
_POLL_SECONDS: Final = 0.25
#: What a load balancer says of a connection of its own.
_NO_PROXY: Final = b"PROXY UNKNOWN\r\n"
_START: Final = "start it with nightdrop serve"
#: A disk should have this part of it free, and so many bytes.
_FREE_PART: Final = 0.1
_FREE_BYTES: Final = 5 * 2**30
#: A district that uses more than this part of its quota should be talked to; a journal that
#: is so full will soon give events up.
_FULL_PART: Final = 0.9
_QUOTAS: Final = "SELECT DISTINCT district, quota_bytes, quota_files FROM nightdrop_key_snapshot()"
_LAST_BEAT: Final = (
    "SELECT extract(epoch FROM now() - max(last_heartbeat))::float8 FROM procrastinate_workers"
)


_NOT_PREPARED: Final = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InsufficientPrivilege,
)


class _Unwell(Exception):
    """A part does not answer: what was found, and the mend."""

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(found, mend)
        self.found = found
        self.mend = mend


class _Worry(_Unwell):
    """A part answers, and something about it should be mended all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one part said; `mend` is empty when there is nothing to do.

    One that is well and has something to mend is a warning.
    """

    part: str
    is_well: bool
    found: str
    mend: str = ""


def run_doctor(config: Config, *, wait_seconds: float | None, as_json: bool) -> int:
    """Ask every part, and print a line for each; ask again for `wait_seconds`, if given.

    Shape:   as JSON ``{"ok": true, "parts": [{"part", "ok", "found", "mend"}, ...]}``; what is
             ok and has something to mend is a warning.
    Returns: 0 when all parts answer, with warnings or without, else 1.
    """
    deadline = time.monotonic() + (wait_seconds or 0)
    answers = ask_all(config)
    while not _are_well(answers) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        answers = ask_all(config)
    _print(answers, as_json=as_json)
    return 0 if _are_well(answers) else 1


def ask_all(config: Config) -> list[Answer]:
    """Ask every part once."""
    return [_ask(part, question, config) for part, question in _QUESTIONS.items()]


def _ask(part: str, question: Callable[[Config], str], config: Config) -> Answer:
    try:
        return Answer(part=part, is_well=True, found=question(config))
    except _Unwell as unwell:
        is_well = isinstance(unwell, _Worry)
        return Answer(part=part, is_well=is_well, found=unwell.found, mend=unwell.mend)


def _ask_postgres(config: Config) -> str:
    [(version,)] = _query(config, "SELECT current_setting('server_version_num')::int / 10000")
    return f"version {version}"


def _ask_tree(config: Config) -> str:
    if not config.tree.exists():
        raise _Unwell(f"{config.tree} is not there", _START)
    account = server_account(config.home)
    with acting_as(account):
        try:
            is_ready = Tree(config.tree).is_ready()
        except OSError:
            is_ready = False
    if not is_ready:
        mend = f"see that the directory is there and that {account.name} may write it"
        raise _Unwell(f"{config.tree} cannot be written", mend)
    return str(config.tree)


def _ask_disk(config: Config) -> str:
    """Say how much room there is where HOME and the tree are."""
    disks: dict[int, tuple[list[str], os.statvfs_result]] = {}
    try:
        for name, path in (("home", config.home), ("tree", config.tree)):
            device = path.stat().st_dev
            disks.setdefault(device, ([], os.statvfs(path)))[0].append(name)
    except FileNotFoundError as error:
        raise _Unwell(f"{error.filename} is not there", _START) from None
    except OSError as error:
        raise _Unwell(f"{error.filename}: {_why(error)}", "run this as root") from None
    said: list[str] = []
    is_short = False
    for names, room in disks.values():
        free, size = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
        said.append(f"{' and '.join(names)}: {write_size(free)} of {write_size(size)} free")
        is_short = is_short or free < max(size * _FREE_PART, _FREE_BYTES)
    found = "; ".join(said)
    if is_short:
        raise _Worry(found, "make room: a full disk refuses every upload")
    return found


def _ask_journal(config: Config) -> str:
    """Say how much waits for the database on this node."""
    if not config.home.exists():
        raise _Unwell(f"{config.home} is not there", _START)
    try:
        state = measure_journal(config.journal_dir)
    except OSError as error:
        raise _Unwell(f"{config.journal_dir}: {_why(error)}", "run this as root") from None
    if state.oldest_at is None:
        return "nothing waits"
    found = f"{write_size(state.size_bytes)} wait since {state.oldest_at:%Y-%m-%d %H:%M} UTC"
    if state.size_bytes > config.journal_max_bytes * _FULL_PART:
        mend = "see that the database answers; else the oldest events about files are given up"
        raise _Worry(found, mend)
    return found


def _ask_quota(config: Config) -> str:
    """Say how many districts will soon be refused for their quota."""
    tree = Tree(config.tree)
    rows = _query(config, _QUOTAS)
    full = 0
    for district, quota_bytes, quota_files in rows:
        quota = choose_quota(quota_bytes, quota_files, default=config.quota)
        # One that nobody has counted or that has no files uses nothing.
        with suppress(OSError, NoSuchDistrict):
            used = look_at_count(tree.district(district).place).usage.count_against(quota)
            full += (
                used.size_bytes > quota.size_bytes * _FULL_PART
                or used.files > quota.files * _FULL_PART
            )
    found = f"{full} of {len(rows)} districts use more than 90 % of theirs"
    if full:
        raise _Worry(found, "nightdrop district set USERNAME --quota-gib N gives one more room")
    return found


def _ask_sftp(config: Config) -> str:
    address, port = _listener(config, "sftp")
    try:
        with socket.create_connection((address, port), timeout=_PATIENCE_SECONDS) as connection:
            connection.settimeout(_PATIENCE_SECONDS)
            if _is_trusted(config, connection.getsockname()[0]):
                connection.sendall(_NO_PROXY)
            banner = connection.makefile("rb").readline(256)
    except OSError as error:
        raise _Unwell(f"{address} port {port}: {_why(error)}", _START) from None
    if not banner.startswith(b"SSH-2.0-"):
        mend = f"another program has the port; set {variable_name('sftp_port')} to a free one"
        raise _Unwell(f"what listens on {address} port {port} is no SSH server", mend)
    return f"{address} port {port}"


def _is_trusted(config: Config, address: str) -> bool:
    """Whether the server takes who comes from there for a load balancer, and waits for a header."""
    networks = map(ip_network, config.trusted_proxies)
    return any(read_address(address) in network for network in networks)


def _ask_web(config: Config) -> str:
    address, port = _listener(config, "web")
    connection = http.client.HTTPConnection(address, port, timeout=_PATIENCE_SECONDS)
    with closing(connection):
        try:
            connection.request("GET", "/readyz", headers={"Host": "localhost"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise _Unwell(f"{address} port {port}: {_why(error)}", _START) from None
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        raise _Unwell("it cannot work yet", "see postgres and tree above, then its log lines")
    if status != HTTPStatus.OK:
        mend = f"another program has the port; set {variable_name('web_port')} to a free one"
        raise _Unwell(f"{address} port {port} answers {status}", mend)
    return f"{address} port {port}"


def _ask_worker(config: Config) -> str:
    [(seconds,)] = _query(config, _LAST_BEAT)
    if seconds is None:
        raise _Unwell("no worker is there", _START)
    if seconds > _HEARTBEAT_SECONDS:
        raise _Unwell(f"the last sign of life is {seconds:.0f} s old", _START)
    return "its heart beats"


_QUESTIONS: Final[Mapping[str, Callable[[Config], str]]] = {
    "postgres": _ask_postgres,
    "tree": _ask_tree,
    "disk": _ask_disk,
    "journal": _ask_journal,
    "quota": _ask_quota,
    "sftp": _ask_sftp,
    "web": _ask_web,
    "worker": _ask_worker,
}


def _query(config: Config, question: LiteralString) -> list[tuple[Any, ...]]:
    """Ask the database one question, as the application does."""
    try:
        params = connection_params(config, Role.APP)
        with psycopg.connect(params.conninfo(), connect_timeout=_PATIENCE_SECONDS) as connection:
            return connection.execute(question).fetchall()
    except _NOT_PREPARED:
        # Without rights: the table was made, and the migrations go on.
        raise _Unwell("the database is not at this version", "run nightdrop migrate") from None
    except psycopg.Error as error:
        url = variable_name("database_url")
        mend = _START if config.is_embedded else f"see that {url} is right"
        raise _Unwell(str(error).strip().partition("\n")[0], mend) from None


def _listener(config: Config, part: str) -> tuple[str, int]:
    """Return where a part listens: what `serve` wrote down, else what the settings say."""
    try:
        ports = json.loads(config.ports_file.read_text("utf-8"))
    except (OSError, ValueError):
        ports = {}
    port = ports.get(part) or getattr(config, f"{part}_port")
    if port == 0:
        raise _Unwell("it listens on no port yet", _START)
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.bind, config.bind)  # noqa: S104 compared
    return address, port


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {_PATIENCE_SECONDS} s"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _are_well(answers: list[Answer]) -> bool:
    return all(answer.is_well for answer in answers)


def _print(answers: list[Answer], *, as_json: bool) -> None:
    if as_json:
        parts = [
            {"part": one.part, "ok": one.is_well, "found": one.found, "mend": one.mend}
            for one in answers
        ]
        print(json.dumps({"ok": _are_well(answers), "parts": parts}, indent=2))
        return
    for one in answers:
        state = "fails" if not one.is_well else "warns" if one.mend else "ok"
        print(f"{one.part:<9} {state:<6} {one.found}" + (f"; {one.mend}" if one.mend else ""))
