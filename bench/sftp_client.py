# SPDX-License-Identifier: Apache-2.0
"""OpenSSH's `sftp` as the one client of both servers, and what it sends."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processes import PATIENCE_SECONDS
from bench.sftp_servers import Server, make_key

MIB: Final = 1024 * 1024
SESSION_FILES: Final = ("students.csv", "guardians.csv")
SESSION_FILE_BYTES: Final = 50_000
AES: Final = "aes128-gcm@openssh.com"
CHACHA: Final = "chacha20-poly1305@openssh.com"


@dataclass(frozen=True, slots=True)
class Client:
    """The client, with one cipher and one key exchange that both servers have."""

    scratch: Path
    cipher: str

    def command(self, server: Server) -> list[str]:
        """Return how the client is started; it reads commands from standard input."""
        options = {
            "UserKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "no",
            "IdentitiesOnly": "yes",
            "KexAlgorithms": "curve25519-sha256",
            "LogLevel": "ERROR",
        }
        command = ["sftp", "-q", "-F", "none", "-b", "-", "-c", self.cipher]
        command += ["-P", str(server.port), "-i", str(self.scratch / "id")]
        for name, value in options.items():
            command += ["-o", f"{name}={value}"]
        return [*command, f"{server.username}@127.0.0.1"]

    def run(self, server: Server, *commands: str, patience: float = PATIENCE_SECONDS) -> float:
        """Run one session and return how long it took, in seconds."""
        start = time.perf_counter()
        subprocess.run(
            self.command(server),
            input="\n".join(commands) + "\n",
            cwd=self.scratch,
            stdout=subprocess.DEVNULL,
            text=True,
            timeout=patience,
            check=True,
        )
        return time.perf_counter() - start


@contextmanager
def scratch_directory(given: Path | None, *, size_mib: int) -> Iterator[Path]:
    """Make a directory with what is sent, where it is fetched to, and the client's key."""
    with tempfile.TemporaryDirectory(prefix="nd-bench-", dir=given) as directory:
        scratch = Path(directory)
        # The users that both servers work as must be able to pass through.
        scratch.chmod(0o755)
        with (scratch / "payload").open("wb") as file:
            for _ in range(size_mib):
                file.write(os.urandom(MIB))
        for name in SESSION_FILES:
            (scratch / name).write_bytes(os.urandom(SESSION_FILE_BYTES))
        (scratch / "COMPLETE").touch()
        # What the client does with what it fetches is not the server's cost.
        (scratch / "null").symlink_to(os.devnull)
        make_key(scratch / "id")
        yield scratch
