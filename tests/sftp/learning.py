# SPDX-License-Identifier: Apache-2.0
"""OpenSSH's client learning the host keys that a server announces."""

import struct
import subprocess
from pathlib import Path

from sftp.harness import OpenSsh

_HELLO = struct.pack(">IBI", 5, 1, 3)


def learn_host_keys(openssh: OpenSsh, known: Path, *, port: int) -> None:
    """Log in, trusting only what is in the file `known`, and let that be brought up to date.

    The session stays until the server has answered in it: by then the client has been given
    the proofs that it asked for.
    """
    with subprocess.Popen(
        ["ssh", "-o", f"UserKnownHostsFile={known}", "-o", "UpdateHostKeys=yes",
         "-o", "StrictHostKeyChecking=yes", *openssh.options, "-p", str(port),
         "-s", f"{openssh.username}@127.0.0.1", "sftp"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as client:  # fmt: skip
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(_HELLO)
        client.stdin.flush()
        assert client.stdout.read(4)
        client.stdin.close()
    assert client.returncode == 0
