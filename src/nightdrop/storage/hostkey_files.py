# SPDX-License-Identifier: Apache-2.0
"""Single host keys: making one, reading it, and writing it whole or not at all.

Private keys may be in any form that OpenSSH writes: one that was brought along from another
server serves on, whether or not its public line came with it.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from nightdrop.core.errors import Refusal
from nightdrop.core.keys import KeyType, PublicKey, openssh_line, read_public_key

#: What a file is called until all of it is on the disk.
DRAFT: Final = ".new"
_PUBLIC: Final = ".pub"
_FILE_MODE: Final = 0o600
_RSA_BITS: Final = 4096
_RSA_EXPONENT: Final = 65537
_OPENSSH_HEADER: Final = b"-----BEGIN OPENSSH PRIVATE KEY-----"

_PrivateKey = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class KeyKind(StrEnum):
    """The kinds of host key; each name is also that of its file."""

    #: Edwards curve 25519.
    ED25519 = "ed25519"
    #: RSA of 4096 bits.
    RSA = "rsa"
    #: NIST curve P-256, for the legacy port alone.
    ECDSA = "ecdsa"

    @property
    def type(self) -> KeyType:
        """What such a key is called in the protocol."""
        return _TYPES[self]


_TYPES: Final = {
    KeyKind.ED25519: KeyType.ED25519,
    KeyKind.RSA: KeyType.RSA,
    KeyKind.ECDSA: KeyType.ECDSA_256,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """The public half of a host key; `since` is when it came to be what it is now."""

    kind: KeyKind
    public: PublicKey
    since: datetime


class HostKeyUnusable(Refusal):
    """The file `path` holds no private key of the kind that its name says."""

    code: ClassVar[str] = "host-key-unusable"

    def __init__(self, path: Path, *, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why


def generate(path: Path, kind: KeyKind) -> None:
    """Make a private key, and its public line beside it."""
    key: _PrivateKey
    if kind is KeyKind.RSA:
        key = rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)
    elif kind is KeyKind.ECDSA:
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    write_whole(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    publish(path, kind)


def publish(path: Path, kind: KeyKind) -> HostKey | None:
    """Make the public line beside a private key agree with it, and return what it says.

    Where there is no private key there is no public line, and nothing is returned.
    Raises:  HostKeyUnusable, OSError.
    """
    beside = path.with_name(path.name + _PUBLIC)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        remove(beside)
        return None
    public = _public_half(content, path=path, kind=kind)
    if not beside.exists() or beside.read_bytes().split()[:2] != _line(public).split()[:2]:
        write_line(beside, public)
    return HostKey(kind=kind, public=public, since=_changed_at(beside))


def read_line(path: Path, kind: KeyKind) -> HostKey:
    """Read a public line that stands alone."""
    return HostKey(kind=kind, public=read_public_key(path.read_bytes()), since=_changed_at(path))


def write_line(path: Path, public: PublicKey) -> None:
    """Write a public line."""
    write_whole(path, _line(public))


def read_plan(path: Path, current: HostKey | None) -> date | None:
    """Return the day that is planned for the current key; None where no plan is about it."""
    try:
        fingerprint, day = path.read_text("ascii").split()
        on = date.fromisoformat(day)
    except (FileNotFoundError, ValueError):
        return None
    return on if current is not None and current.public.fingerprint == fingerprint else None


def write_plan(path: Path, current: HostKey, *, on: date) -> None:
    """Write down the day on which a key retires."""
    write_whole(path, f"{current.public.fingerprint} {on.isoformat()}\n".encode("ascii"))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a host key must never be half of one."""
    draft = path.with_name(path.name + DRAFT)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, _FILE_MODE)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    replace(draft, path)


def replace(path: Path, target: Path) -> None:
    """Give a file the place of another, for good; what was there is gone."""
    path.rename(target)
    sync(target.parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        path.unlink()


def sync(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _public_half(content: bytes, *, path: Path, kind: KeyKind) -> PublicKey:
    is_openssh = content.lstrip().startswith(_OPENSSH_HEADER)
    load = load_ssh_private_key if is_openssh else load_pem_private_key
    try:
        # Only the public half is taken from it here; whether the two belong together is
        # looked at by who signs, and takes a third of a second.
        private = load(content, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise HostKeyUnusable(path, why="it is protected by a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise HostKeyUnusable(path, why="it holds no private key") from None
    if not isinstance(private, _PrivateKey):
        raise HostKeyUnusable(path, why="it holds a key of another kind")
    line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    public = read_public_key(line)
    if public.type is not kind.type:
        raise HostKeyUnusable(path, why="it holds a key of another kind")
    return public


def _line(public: PublicKey) -> bytes:
    return f"{openssh_line(public)}\n".encode("ascii")


def _changed_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
