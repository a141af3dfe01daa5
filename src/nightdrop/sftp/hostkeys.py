# SPDX-License-Identifier: Apache-2.0
"""Signing with the host keys, and noticing that they were changed. See `storage.hostkeys`."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, TypeAlias

import asyncssh

from nightdrop.sftp.algorithms import MODERN, RSA_HOST_SIGNATURES
from nightdrop.storage.hostkeys import HostKeyStore, HostKeyUnusable, KeyKind, PrivateKeys

#: What a key signs to show that its halves belong together; no client could mistake it.
_TRIAL: Final = b"nightdrop: can this key sign?"

Signers: TypeAlias = "OrderedDict[bytes, asyncssh.SSHKeyPair]"

_Mark: TypeAlias = "frozenset[tuple[str, int, int]]"


@dataclass(frozen=True, slots=True)
class HostKeys:
    """The private host keys, best first.

    `keys` sign. `next_keys` will, and are announced beside them until then, so that clients
    which can learn host keys have learned them by the day on which they sign.
    """

    keys: tuple[asyncssh.SSHKey, ...]
    next_keys: tuple[asyncssh.SSHKey, ...] = ()

    def of(self, kinds: Sequence[KeyKind]) -> "HostKeys":
        """Return those of some kinds."""
        names = {kind.type.encode() for kind in kinds}
        return HostKeys(
            tuple(key for key in self.keys if key.algorithm in names),
            tuple(key for key in self.next_keys if key.algorithm in names),
        )

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
        """Return a signer for each public key, the next ones too.

        For clients that learn of the keys beside the one that was negotiated
        (hostkeys-00@openssh.com).
        """
        return OrderedDict(
            (key.public_data, _make_signer(key, _signatures_of(key)[0]))
            for key in (*self.keys, *self.next_keys)
        )

    def fingerprints(self) -> tuple[str, ...]:
        """Return the fingerprint of each key that signs."""
        return tuple(key.get_fingerprint() for key in self.keys)


class HostKeyRing:
    """The host keys of some kinds as they are on disk. For one thread at a time, which may wait."""

    def __init__(self, directory: Path, kinds: Sequence[KeyKind]) -> None:
        self._directory: Final = directory
        self._store: Final = HostKeyStore(directory)
        self._kinds: Final = kinds
        self._mark: _Mark = frozenset()
        self._retires_on: date | None = None

    def load(self, *, now: datetime) -> HostKeys:
        """Return the keys, after making those that are missing.

        Raises:  HostKeyUnusable, OSError.
        """
        self._store.make(self._kinds)
        return self._read(now.date(), mark=self._store.mark())

    def look(self, *, now: datetime) -> HostKeys | None:
        """Return the keys if they may have changed, and let those retire whose day has come.

        Nothing is made: a shared tree that is not mounted looks as if all keys were gone, and
        clients must not meet others because of that.

        Raises:  NoHostKeys, HostKeyUnusable, OSError.
        """
        mark = self._store.mark()
        is_due = self._retires_on is not None and self._retires_on <= now.date()
        return self._read(now.date(), mark=mark) if is_due or mark != self._mark else None

    def _read(self, today: date, *, mark: _Mark) -> HostKeys:
        stored = self._store.read(self._kinds, today=today)
        loaded = HostKeys(
            tuple(_import(key.current, of=key, directory=self._directory) for key in stored),
            tuple(
                _import(key.next, of=key, directory=self._directory) for key in stored if key.next
            ),
        )
        # Only what could be read is not read again.
        self._mark = mark
        self._retires_on = _first_day(stored)
        return loaded


def load_host_keys(directory: Path, *, kinds: Sequence[KeyKind] = MODERN.host_keys) -> HostKeys:
    """Return the host keys in `directory`, after making those that are missing.

    Several nodes may start at once on a shared tree: one makes the keys, all get the same.
    """
    return HostKeyRing(directory, kinds).load(now=datetime.now(UTC))


def _import(private: bytes, *, of: PrivateKeys, directory: Path) -> asyncssh.SSHKey:
    """Read a private key and see that its halves belong together.

    A trial signature finds that out in milliseconds. The check that is left out takes a third
    of a second for RSA, in which nobody is served.
    """
    try:
        key = asyncssh.import_private_key(private, unsafe_skip_rsa_key_validation=True)
        signature = _make_signer(key, _signatures_of(key)[0]).sign(_TRIAL)
        is_sound = key.convert_to_public().verify(_TRIAL, signature)
    except (asyncssh.KeyImportError, ValueError):
        is_sound = False
    if not is_sound:
        raise HostKeyUnusable(directory / of.public.current.kind, why="its halves do not fit")
    return key


def _first_day(stored: Sequence[PrivateKeys]) -> date | None:
    """Return the first day on which a key retires."""
    days = [
        keys.public.retire_on
        for keys in stored
        if keys.public.retire_on is not None and keys.public.next is not None
    ]
    return min(days, default=None)


def _signatures_of(key: asyncssh.SSHKey) -> tuple[bytes, ...]:
    return RSA_HOST_SIGNATURES if key.algorithm == b"ssh-rsa" else (key.algorithm,)


def _make_signer(key: asyncssh.SSHKey, signature: bytes) -> asyncssh.SSHKeyPair:
    (signer,) = asyncssh.load_keypairs([key])
    signer.set_sig_algorithm(signature)
    return signer
