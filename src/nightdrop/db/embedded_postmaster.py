# SPDX-License-Identifier: Apache-2.0
"""Whether the server of a data directory really runs, whatever its pid file says.

PostgreSQL refuses to start while the process named in ``postmaster.pid`` exists, also when
that is a zombie nobody reaps (a container without init) or an unrelated process that got
the number. The file is mended, never removed: its line about shared memory lets PostgreSQL
find out by itself whether old backends still use the data.

Shape of ``postmaster.pid``: one value a line: pid, data directory, start time, port, socket
directory, listen address, shared memory key and id, status (``ready`` and blanks).
"""

import os
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nightdrop.db.embedded_places import Places

_PID_FILE: Final = "postmaster.pid"
_STATUS_LINE: Final = 7
#: No system gives a process such a number; the highest that Linux can be told is 2**22.
_NOBODY: Final = 2**31 - 1
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A server process that is alive."""

    pid: int
    is_ready: bool


def find_postmaster(places: Places) -> Postmaster | None:
    """Return the server that runs on this data directory, if one does."""
    lines = _read_lines(places.data / _PID_FILE)
    pid = _pid_in(lines)
    if pid is None or not _is_server(pid, places.data):
        return None
    status = lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""
    return Postmaster(pid, is_ready=status == "ready")


def is_answering(places: Places) -> bool:
    """Whether a server accepts on the socket, even one in another container's pid space."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(places.socket))
        except OSError:
            return False
        return True


def forget_dead_server(places: Places) -> None:
    """Let PostgreSQL see that the process which the pid files name is no server of ours.

    Call it under the start lock, when `find_postmaster` found none and none is answering.
    """
    _put_nobody(places.data / _PID_FILE)
    _put_nobody(places.socket.with_name(places.socket.name + ".lock"))


def end_orphans(places: Places) -> None:
    """End backends that outlived a killed server and keep its shared memory in use.

    A backend notices by itself, but only when its query is done. Only Linux tells which
    processes they are; elsewhere the start is repeated until they are gone.
    """
    if not _PROC.joinpath("self").exists():
        return
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and _is_backend(entry, places.data):
            with suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGQUIT)


def _is_backend(process: Path, data: Path) -> bool:
    try:
        is_postgres = process.joinpath("comm").read_text("utf-8").strip() == "postgres"
        return is_postgres and process.joinpath("cwd").readlink() == data
    except OSError:
        return False


def _is_server(pid: int, data: Path) -> bool:
    """Whether the process is ``postgres -D data``; a zombie has no arguments any more."""
    return _command_of(pid).endswith(f"/postgres -D {data}")


def _command_of(pid: int) -> str:
    if _PROC.joinpath("self").exists():
        try:
            arguments = _PROC.joinpath(str(pid), "cmdline").read_bytes()
        except OSError:
            return ""
        return os.fsdecode(arguments).rstrip("\0").replace("\0", " ")
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 fixed words


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (FileNotFoundError, PermissionError):
        # A home that is closed to this user is refused where it is prepared.
        return []


def _pid_in(lines: list[str]) -> int | None:
    # A server that is starting may have made the file and not yet written into it.
    text = lines[0].strip() if lines else ""
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _put_nobody(path: Path) -> None:
    lines = _read_lines(path)
    if not lines:
        path.unlink(missing_ok=True)
        return
    mended = path.with_name(path.name + ".mended")
    mended.write_text("\n".join([str(_NOBODY), *lines[1:]]) + "\n", "utf-8")
    mended.chmod(0o600)
    mended.rename(path)
