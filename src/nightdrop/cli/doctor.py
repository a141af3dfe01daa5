# SPDX-License-Identifier: Apache-2.0
"""`nightdrop doctor`: asks every part whether it answers, and says what to do if not.

It asks as a stranger would, over the network and the database's own protocol, so that it
finds what a part does not know of itself. It starts nothing.
"""

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, LiteralString

import psycopg

from nightdrop.config import Config, variable_name
from nightdrop.db.embedded import connection_params
from nightdrop.db.embedded_account import acting_as, server_account
from nightdrop.db.roles import Role
from nightdrop.storage.tree import Tree

#: How long a part may take to answer.
_PATIENCE_SECONDS: Final = 5
#: A worker's heart beats every two seconds; one that missed so many seconds is not well.
_HEARTBEAT_SECONDS: Final = 10
_POLL_SECONDS: Final = 0.25
_START: Final = "start it with nightdrop serve"
_LAST_BEAT: Final = (
    "SELECT extract(epoch FROM now() - max(last_heartbeat))::float8 FROM procrastinate_workers"
)


class _Unwell(Exception):
    """A part does not answer: what was found, and the mend."""

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(found, mend)
        self.found = found
        self.mend = mend


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one part said; `mend` is empty when it is well."""

    part: str
    is_well: bool
    found: str
    mend: str = ""


def run_doctor(config: Config, *, wait_seconds: float | None, as_json: bool) -> int:
    """Ask every part, and print a line for each; ask again for `wait_seconds`, if given.

    Shape:   as JSON ``{"ok": true, "parts": [{"part", "ok", "found", "mend"}, ...]}``.
    Returns: 0 when all parts answer, else 1.
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
        return Answer(part=part, is_well=False, found=unwell.found, mend=unwell.mend)


def _ask_postgres(config: Config) -> str:
    version = _query(config, "SELECT current_setting('server_version_num')::int / 10000")
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


def _ask_sftp(config: Config) -> str:
    address, port = _listener(config, "sftp")
    try:
        with socket.create_connection((address, port), timeout=_PATIENCE_SECONDS) as connection:
            connection.settimeout(_PATIENCE_SECONDS)
            banner = connection.makefile("rb").readline(256)
    except OSError as error:
        raise _Unwell(f"{address} port {port}: {_why(error)}", _START) from None
    if not banner.startswith(b"SSH-2.0-"):
        mend = f"another program has the port; set {variable_name('sftp_port')} to a free one"
        raise _Unwell(f"what listens on {address} port {port} is no SSH server", mend)
    return f"{address} port {port}"


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
    seconds = _query(config, _LAST_BEAT)
    if seconds is None:
        raise _Unwell("no worker is there", _START)
    if seconds > _HEARTBEAT_SECONDS:
        raise _Unwell(f"the last sign of life is {seconds:.0f} s old", _START)
    return "its heart beats"


_QUESTIONS: Final[Mapping[str, Callable[[Config], str]]] = {
    "postgres": _ask_postgres,
    "tree": _ask_tree,
    "sftp": _ask_sftp,
    "web": _ask_web,
    "worker": _ask_worker,
}


def _query(config: Config, question: LiteralString) -> float | None:
    """Ask the database one question, as the application does."""
    try:
        params = connection_params(config, Role.APP)
        with psycopg.connect(params.conninfo(), connect_timeout=_PATIENCE_SECONDS) as connection:
            row = connection.execute(question).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        # Without rights: the table was made, and the migrations go on.
        raise _Unwell("the database is not at this version", "run nightdrop migrate") from None
    except psycopg.Error as error:
        url = variable_name("database_url")
        mend = _START if config.is_embedded else f"see that {url} is right"
        raise _Unwell(str(error).strip().partition("\n")[0], mend) from None
    return row[0] if row else None


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
        said = f"ok     {one.found}" if one.is_well else f"fails  {one.found}; {one.mend}"
        print(f"{one.part:<9} {said}")
