# SPDX-License-Identifier: Apache-2.0
"""The server's host keys: made once, shared by all nodes, 0600.

Shape: ``<kind>`` holds the private key as OpenSSH writes it and ``<kind>.pub`` the public
       line, which other parts may show without ever opening the private one.
"""

import fcntl
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import asyncssh

from nightdrop.sftp.algorithms import RSA_HOST_SIGNATURES

#: File name, and how such a key is made.
_KINDS: Final = {"ed25519": ("ssh-ed25519", None), "rsa": ("ssh-rsa", 4096)}

Signers: TypeAlias = "OrderedDict[bytes, asyncssh.SSHKeyPair]"


@dataclass(frozen=True, slots=True)
class HostKeys:
    """The private host keys, ed25519 first."""

    keys: tuple[asyncssh.SSHKey, ...]

    def signers(self) -> Signers:
        """Return a signer for each algorithm that is offered, best first.

        RSA gets one signer per algorithm: asyncssh sets the algorithm on the signer when a
        connection has negotiated it, so that two connections which share one and negotiate
        differently would sign with each other's.
        """
        return OrderedDict(
            (name, _make_signer(key, name)) for key in self.keys for name in _signatures_of(key)
        )

    def provers(self) -> Signers:
        """Return a signer for each public key.

        For clients that learn of the keys beside the one that was negotiated
        (hostkeys-00@openssh.com).
        """
        return OrderedDict(
            (key.public_data, _make_signer(key, _signatures_of(key)[0])) for key in self.keys
        )


def load_host_keys(directory: Path) -> HostKeys:
    """Return the host keys in `directory`, after making those that are missing.

    Several nodes may start at once on a shared tree: one makes the keys, all get the same.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(directory / "lock"):
        return HostKeys(tuple(_load(directory / kind, *made) for kind, made in _KINDS.items()))


def _signatures_of(key: asyncssh.SSHKey) -> tuple[bytes, ...]:
    return RSA_HOST_SIGNATURES if key.algorithm == b"ssh-rsa" else (key.algorithm,)


def _make_signer(key: asyncssh.SSHKey, signature: bytes) -> asyncssh.SSHKeyPair:
    (signer,) = asyncssh.load_keypairs([key])
    signer.set_sig_algorithm(signature)
    return signer


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _load(path: Path, algorithm: str, size_bits: int | None) -> asyncssh.SSHKey:
    if path.exists():
        return asyncssh.read_private_key(path)
    key = (
        asyncssh.generate_private_key(algorithm, key_size=size_bits)
        if size_bits
        else asyncssh.generate_private_key(algorithm)
    )
    _write(path.with_name(path.name + ".pub"), key.export_public_key("openssh"))
    _write(path, key.export_private_key("openssh"))
    return key


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a host key must never be half of one."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
