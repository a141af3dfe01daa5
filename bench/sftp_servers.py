# SPDX-License-Identifier: Apache-2.0
"""The two servers that are measured side by side.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processes import (
    PATIENCE_SECONDS,
    cpu_seconds,
    families,
    memory_kib,
    started,
    wait_until,
)
from bench.running import running

SSHD: Final = Path("/usr/sbin/sshd")
DISTRICT: Final = "bench.example"
#: As many sessions at rest as are measured, where one district may have 32.
SETTINGS: Final = {"NIGHTDROP_SESSIONS_PER_DISTRICT": "500"}
#: A server that spends less than a hundredth of its time is at rest.
REST_SECONDS: Final = 0.5
#: Makes a process the parent of its descendants whose own parents ended.
PR_SET_CHILD_SUBREAPER: Final = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server under measurement; the children of the processes `pids` are its own too."""

    name: str
    pids: tuple[int, ...]
    port: int
    username: str
    #: The directory that clients write into.
    upload: str
    #: Where that is on this machine's disk.
    disk: Path

    def cpu_seconds(self) -> float:
        """Return what the server has used so far, by processes that ended as well."""
        return sum(map(cpu_seconds, families(self.pids)))

    def memory_kib(self) -> float:
        """Return the memory of all its processes; what they share is shared out."""
        return sum(map(memory_kib, families(self.pids)))

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
    """Run Nightdrop with one district that has the client's key; its SFTP processes count."""
    with running(scratch, SETTINGS) as serving:
        serving.run("district", "add", DISTRICT, "--time-zone", "UTC")
        serving.run("key", "add", DISTRICT, f"{scratch / 'id'}.pub", "--label", "bench")
        district = json.loads(serving.run("district", "show", DISTRICT, "--json"))
        yield Server(
            name="nightdrop",
            pids=serving.sftp_pids,
            port=serving.port,
            username=DISTRICT,
            upload="/upload",
            disk=serving.directory(district["id"]) / "upload",
        )


@contextmanager
def side_by_side(scratch: Path) -> Iterator[list[Server]]:
    """Run ours, and the baseline where it is to be had; the files are in `scratch`."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(nightdrop(scratch))]
        if has_sshd():
            servers.append(stack.enter_context(sshd(scratch)))
        yield servers


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
    command = [sys.executable, "-m", "bench.sftp_servers", str(SSHD), "-D", "-e"]
    command += ["-f", str(place / "config")]
    with _ordinary_user(upload) as user, started(command, place / "log") as pid:
        wait_until(lambda: _listens(port), what=f"sshd, see {place / 'log'}")
        yield Server(
            name="sshd", pids=(pid,), port=port, username=user, upload=str(upload), disk=upload
        )


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
