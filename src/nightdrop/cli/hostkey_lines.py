# SPDX-License-Identifier: Apache-2.0
"""Host keys as other programs write them.

Source:  ``ssh-keygen -l`` and ``-r``; sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; RFC 4255,
         RFC 6594 and RFC 7479 for the numbers of SSHFP.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Final

from nightdrop.config import Config
from nightdrop.core.keys import openssh_line
from nightdrop.storage.hostkeys import HostKey, KeyKind, kinds_in_use

_STANDARD_PORT: Final = 22
_SSHFP_ALGORITHMS: Final = {KeyKind.RSA: 1, KeyKind.ECDSA: 3, KeyKind.ED25519: 4}
_SSHFP_SHA256: Final = 2


def fingerprint_lines(config: Config, keys: Sequence[HostKey]) -> list[str]:
    """Return two lines for each key, as ``ssh-keygen -l`` prints them: SHA256 and MD5."""
    return [
        f"{key.public.bits} {fingerprint} {config.public_host} ({key.kind.upper()})"
        for key in keys
        for fingerprint in (key.public.fingerprint, key.public.md5)
    ]


def known_hosts_lines(config: Config, keys: Sequence[HostKey]) -> dict[int, list[str]]:
    """Return by port a line for each key that may be met there.

    A client needs those of its port. With both in one file OpenSSH learns no keys any more: it
    does not replace one that it knows by two names.
    """
    modern = kinds_in_use(has_legacy=False)
    return {
        port: [
            f"{_name(config.public_host, port)} {openssh_line(key.public)}"
            for key in keys
            if is_legacy or key.kind in modern
        ]
        for port, is_legacy in _ports(config).items()
    }


def sshfp_lines(config: Config, keys: Sequence[HostKey]) -> list[str]:
    """Return a record for each key, with its SHA-256. SSHFP has no ports."""
    return [
        f"{config.public_host} IN SSHFP {_SSHFP_ALGORITHMS[key.kind]} {_SSHFP_SHA256}"
        f" {hashlib.sha256(key.public.blob).hexdigest()}"
        for key in keys
    ]


def _name(host: str, port: int) -> str:
    return host if port == _STANDARD_PORT else f"[{host}]:{port}"


def _ports(config: Config) -> dict[int, bool]:
    """Say of each port whether it is the legacy one.

    One that is left to the start to choose is known while the server runs.
    """
    try:
        running: dict[str, int] = json.loads(config.ports_file.read_text("utf-8"))
    except OSError:
        running = {}
    named = {"sftp": config.sftp_port, "sftp_legacy": config.sftp_legacy_port}
    return {
        found: name == "sftp_legacy"
        for name, port in named.items()
        if port is not None and (found := port or running.get(name, 0))
    }
