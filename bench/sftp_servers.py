# SPDX-License-Identifier: Apache-2.0
"""The two servers that are measured side by side, and what /proc knows of their processes.

Run with a command, this is the parent under which sshd runs, see `reap`.
"""

import contextlib
import ctypes
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SSHD: Final = Path("/usr/sbin/sshd")
DISTRICT: Final = "bench.example"
#: How long anything here may take on a slow machine.
PATIENCE_SECONDS: Final = 90
#: A server that spends less than a hundredth of its time is at rest.
REST_SECONDS: Final = 0.5
POLL_SECONDS: Final = 0.05
#: What is shown of a server's log when something went wrong.
LOG_LINES: Final = 20
#: Makes a process the parent of its descendants whose own parents ended.
PR_SET_CHILD_SUBREAPER: Final = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server under measurement; `pid` is the process whose children are its own too."""

    name: str
    pid: int
    port: int
    username: str
    #: The directory that clients write into.
    upload: str

    def cpu_seconds(self) -> float:
        """Return what the server has used so far, by processes that ended as well."""
        return sum(map(_cpu_seconds, _family(self.pid)))

    def memory_kib(self) -> float:
        """Return the memory of all its processes; what they share is shared out."""
        return sum(map(_memory_kib, _family(self.pid)))

    def rest(self) -> None:
        """Wait until the server does nothing any more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        seen = -1.0
        while time.monotonic() < deadline:
            used = self.cpu_seconds()
            if used - seen <= REST_SECONDS / 100 and seen >= 0:
                return
            seen = used
            time.sleep(REST_SECONDS)
        raise TimeoutError(f"{self.name} does not come to rest")


@contextmanager
def nightdrop(scratch: Path) -> Iterator[Server]:
    """Run Nightdrop in a home of its own, with one district that has the client's key."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTDROP_")}
    environ = own | {
        "NIGHTDROP_HOME": str(scratch / "home"),
        "NIGHTDROP_SFTP_PORT": "0",
        "NIGHTDROP_WEB_PORT": "0",
        "NIGHTDROP_PUBLIC_HOST": "localhost",
    }
    program = [sys.executable, "-m", "nightdrop"]

    def run(*arguments: str) -> None:
        subprocess.run([*program, *arguments], env=environ, stdout=subprocess.DEVNULL, check=True)

    with _started([*program, "serve"], scratch / "nightdrop.log", environ=environ) as serve:
        ports = scratch / "home/run/ports.json"
        _wait_until(lambda: ports.exists() and "sftp" in ports.read_text(), what="nightdrop serve")
        run("district", "add", DISTRICT, "--time-zone", "UTC")
        run("key", "add", DISTRICT, f"{scratch / 'id'}.pub", "--label", "bench")
        port = json.loads(ports.read_text())["sftp"]
        yield Server(
            name="nightdrop",
            pid=_find_listener(_family(serve), port=port),
            port=port,
            username=DISTRICT,
            upload="/upload",
        )


def has_sshd() -> bool:
    """Whether the baseline is there; installs it where that starts no service."""
    if SSHD.exists():
        return True
    # With systemd the package would start a server on this machine, now and at every boot.
    is_managed = Path("/run/systemd/system").exists()
    if os.geteuid() == 0 and shutil.which("apt-get") and not is_managed:
        environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "openssh-server"]
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=False)
    if SSHD.exists():
        return True
    print(f"NO BASELINE: {SSHD} is missing; install openssh-server to get ratios", flush=True)
    return False


@contextmanager
def sshd(scratch: Path) -> Iterator[Server]:
    """Run OpenSSH's server with keys of its own, for a user who is not root."""
    place = scratch / "sshd"
    upload = place / "upload"
    upload.mkdir(parents=True)
    make_key(place / "hostkey")
    shutil.copy(scratch / "id.pub", place / "authorized_keys")
    port = _free_port()
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": place / "hostkey",
        "AuthorizedKeysFile": place / "authorized_keys",
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "MaxStartups": 100,
        "Subsystem": "sftp internal-sftp",
    }
    lines = [f"{name} {value}\n" for name, value in settings.items()]
    (place / "config").write_text("".join(lines))
    command = [sys.executable, __file__, str(SSHD), "-D", "-e", "-f", str(place / "config")]
    with _ordinary_user(upload) as user, _started(command, place / "log") as pid:
        _wait_until(lambda: _listens(port), what=f"sshd, see {place / 'log'}")
        yield Server(name="sshd", pid=pid, port=port, username=user, upload=str(upload))


def reap(command: Sequence[str]) -> None:
    """Run a command until SIGTERM, and wait for all that descends from it.

    The process of sshd that watches over a session ends without waiting for those that
    did its work; their times would be lost.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while os.wait()[0] != process.pid:
        pass


@contextmanager
def _ordinary_user(upload: Path) -> Iterator[str]:
    """Make a user who may write into `upload`, when root runs this; else it is oneself."""
    if os.geteuid() != 0:
        yield getpass.getuser()
        return
    # sshd as root wants this directory, which the service's start would have made.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    user = f"nd-bench-{os.getpid()}"
    # The password is one that nothing matches; without it sshd takes the account as locked.
    add = ["useradd", "--system", "--no-create-home", "--password", "*", user]
    subprocess.run(add, check=True)
    try:
        shutil.chown(upload, user)
        yield user
    finally:
        subprocess.run(["userdel", user], check=True)


@contextmanager
def _started(
    command: Sequence[str], log_file: Path, *, environ: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server and yield its pid; what it said is shown when anything goes wrong."""
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        yield process.pid
    except Exception:
        sys.stderr.write("\n".join(log_file.read_text().splitlines()[-LOG_LINES:]) + "\n")
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def _family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text().split())
    return found


def _cpu_seconds(pid: int) -> float:
    try:
        # The name may hold anything but ends with the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # utime, stime, and the same of children that were waited for: fields 14 to 17.
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory_kib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("Pss:")))


def _find_listener(pids: Sequence[int], *, port: int) -> int:
    """Return which of the processes has the listening socket of a port on 127.0.0.1."""
    address = f"0100007F:{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == address and row[3] == "0A"}
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if str(descriptor.readlink()) in sockets:
                    return pid
    raise LookupError(f"no process listens on port {port}")


def _wait_until(is_so: Callable[[], bool], *, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(POLL_SECONDS)


def _listens(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def make_key(file: Path) -> None:
    """Make an Ed25519 pair without a passphrase."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(file)], check=True
    )


if __name__ == "__main__":
    reap(sys.argv[1:])
