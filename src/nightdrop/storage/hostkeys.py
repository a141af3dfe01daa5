# SPDX-License-Identifier: Apache-2.0
"""The server's host keys on disk: made once for all nodes, and replaced without a gap.

Shape:   one directory, 0700, of files, 0600:
         ``KIND``, ``KIND.pub``            the key that signs; its public line
         ``KIND.next``, ``KIND.next.pub``  the key that will, once clients have learned it
         ``KIND.retire``                   ``FINGERPRINT YYYY-MM-DD``: when the next takes over
         ``retired/KIND-HEX.pub``          what has signed and never will again
         ``lock``                          in the hands of whoever reads or changes the rest
         ``NAME.new``                      a file that is being written, or was at a kill

The two private files of a kind are the truth. One rename makes the next key the current one;
the public lines and the plan follow from that, and whoever takes the lock next puts right
what a kill left behind. So a kill at any step changes a key as a whole or not at all.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import ClassVar, Final

from nightdrop.core.errors import Refusal
from nightdrop.storage.hostkey_files import (
    DRAFT,
    HostKey,
    HostKeyUnusable,
    KeyKind,
    generate,
    publish,
    read_line,
    read_plan,
    remove,
    replace,
    sync,
    write_line,
    write_plan,
)

__all__ = [
    "HostKey",
    "HostKeyNotCurrent",
    "HostKeyStore",
    "HostKeyUnusable",
    "KeyKind",
    "KindKeys",
    "NoHostKeys",
    "NoNextHostKey",
    "NothingPlanned",
    "PrivateKeys",
    "UnknownHostKey",
    "kinds_in_use",
]

_DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_LOCK: Final = "lock"
_RETIRED: Final = "retired"
_NEXT: Final = ".next"
_PLAN: Final = ".retire"
#: Hex digits of a retired key's SHA-256 that are in its file's name.
_NAME_DIGITS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class KindKeys:
    """The keys of one kind: the one that signs, and the one that is announced beside it.

    From `retire_on` (UTC) the next one signs; None while nobody has planned that.
    """

    current: HostKey
    next: HostKey | None
    retire_on: date | None

    def is_due(self, today: date) -> bool:
        """Say whether the next key should have taken over."""
        return self.next is not None and self.retire_on is not None and self.retire_on <= today


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKeys:
    """The same with the private halves, as they stand in their files."""

    public: KindKeys
    current: bytes = field(repr=False)
    next: bytes | None = field(repr=False)


class NoHostKeys(Refusal):
    """There are none in `directory`, or not all that are needed."""

    code: ClassVar[str] = "no-host-keys"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory


class UnknownHostKey(Refusal):
    """No host key in use has this fingerprint."""

    code: ClassVar[str] = "unknown-host-key"

    def __init__(self, fingerprint: str) -> None:
        super().__init__(fingerprint)
        self.fingerprint = fingerprint


class HostKeyNotCurrent(Refusal):
    """The next key of its `kind` does not sign yet, so it cannot retire; `current` can."""

    code: ClassVar[str] = "host-key-not-current"

    def __init__(self, fingerprint: str, *, kind: KeyKind, current: str) -> None:
        super().__init__(fingerprint, kind, current)
        self.fingerprint = fingerprint
        self.kind = kind
        self.current = current


class NoNextHostKey(Refusal):
    """A key cannot retire while there is none to follow it."""

    code: ClassVar[str] = "no-next-host-key"

    def __init__(self, kind: KeyKind) -> None:
        super().__init__(kind)
        self.kind = kind


class NothingPlanned(Refusal):
    """There is no day on which this key will retire."""

    code: ClassVar[str] = "nothing-planned"

    def __init__(self, fingerprint: str) -> None:
        super().__init__(fingerprint)
        self.fingerprint = fingerprint


def kinds_in_use(*, has_legacy: bool) -> tuple[KeyKind, ...]:
    """Return the kinds that the ports together need, best first."""
    modern = (KeyKind.ED25519, KeyKind.RSA)
    return (*modern, KeyKind.ECDSA) if has_legacy else modern


class HostKeyStore:
    """The host keys in one directory. Every method but `mark` waits for the directory's lock."""

    def __init__(self, directory: Path) -> None:
        self._directory: Final = directory

    def make(self, kinds: Sequence[KeyKind]) -> None:
        """Make the directory, and a current key of each of these kinds that has none.

        Raises:  OSError.
        """
        self._directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        with self._locked():
            for kind in kinds:
                if not self._path(kind).exists():
                    generate(self._path(kind), kind)

    def read(self, kinds: Sequence[KeyKind], *, today: date) -> tuple[PrivateKeys, ...]:
        """Return the keys of these kinds, after doing what was planned for today or before.

        Raises:  NoHostKeys when one is missing, HostKeyUnusable, OSError.
        """
        with self._locked():
            return tuple(self._read(kind, today=today) for kind in kinds)

    def find(self, kinds: Sequence[KeyKind]) -> tuple[KindKeys, ...]:
        """Return the public halves of those of these kinds that have a key.

        Raises:  NoHostKeys when none has, HostKeyUnusable, OSError.
        """
        with self._locked():
            found = tuple(keys for kind in kinds if (keys := self._settle(kind)) is not None)
        if not found:
            raise NoHostKeys(self._directory)
        return found

    def retired(self) -> tuple[HostKey, ...]:
        """Return the public halves of what has signed once, the last first."""
        with self._locked():
            current = [keys.current for kind in KeyKind if (keys := self._settle(kind)) is not None]
            found = [
                read_line(path, kind)
                for kind in KeyKind
                for path in (self._directory / _RETIRED).glob(f"{kind}-*.pub")
            ]
        # A kill may have left the public half of one that did not retire after all.
        in_use = {key.public.blob for key in current}
        gone = [key for key in found if key.public.blob not in in_use]
        return tuple(sorted(gone, key=lambda key: key.since, reverse=True))

    def add_next(self, kind: KeyKind) -> KindKeys:
        """Make the next key of a kind, unless there is one.

        Raises:  NoHostKeys, HostKeyUnusable, OSError.
        """
        with self._locked():
            if self._settled(kind).next is None:
                generate(self._path(kind, _NEXT), kind)
            return self._settled(kind)

    def plan(self, fingerprint: str, *, on: date) -> KindKeys:
        """Plan that the key with this fingerprint retires on a day; replaces an earlier plan.

        Raises:  UnknownHostKey, HostKeyNotCurrent, NoNextHostKey, HostKeyUnusable, OSError.
        """
        with self._locked():
            keys = self._find_retiring(fingerprint)
            kind = keys.current.kind
            write_plan(self._path(kind, _PLAN), keys.current, on=on)
            return self._settled(kind)

    def cancel(self, fingerprint: str) -> KindKeys:
        """Take back what `plan` planned.

        Raises:  NothingPlanned, and what `plan` raises.
        """
        with self._locked():
            keys = self._find_retiring(fingerprint)
            kind = keys.current.kind
            if keys.retire_on is None:
                raise NothingPlanned(fingerprint)
            remove(self._path(kind, _PLAN))
            sync(self._directory)
            return self._settled(kind)

    def retire(self, fingerprint: str) -> KindKeys:
        """Let the next key take the place of the one with this fingerprint, now.

        Only the public half of the old one is kept. Returns the keys as they are then.
        Raises:  what `plan` raises.
        """
        with self._locked():
            return self._retire(self._find_retiring(fingerprint))

    def mark(self) -> frozenset[tuple[str, int, int]]:
        """Return a value that every change of the keys or the plans changes.

        Raises:  OSError.
        """
        with os.scandir(self._directory) as entries:
            return frozenset(
                (entry.name, found.st_ino, found.st_mtime_ns)
                for entry in entries
                if entry.name not in {_LOCK, _RETIRED} and not entry.name.endswith(DRAFT)
                for found in (entry.stat(follow_symlinks=False),)
            )

    # With the lock in hand.

    def _read(self, kind: KeyKind, *, today: date) -> PrivateKeys:
        keys = self._settled(kind)
        if keys.is_due(today):
            keys = self._retire(keys)
        return PrivateKeys(
            public=keys,
            current=self._path(kind).read_bytes(),
            next=self._path(kind, _NEXT).read_bytes() if keys.next else None,
        )

    def _settled(self, kind: KeyKind) -> KindKeys:
        keys = self._settle(kind)
        if keys is None:
            raise NoHostKeys(self._directory)
        return keys

    def _settle(self, kind: KeyKind) -> KindKeys | None:
        """Make public lines and plan agree with the private keys; None when there is none."""
        for draft in self._directory.glob(f"{kind}*{DRAFT}"):
            remove(draft)
        current = publish(self._path(kind), kind)
        following = publish(self._path(kind, _NEXT), kind)
        retire_on = read_plan(self._path(kind, _PLAN), current)
        if retire_on is None:
            remove(self._path(kind, _PLAN))
        if current is None:
            return None
        return KindKeys(current=current, next=following, retire_on=retire_on)

    def _retire(self, keys: KindKeys) -> KindKeys:
        """Replace the current key; the public half of the old one is safe before it goes."""
        old = keys.current
        retired = self._directory / _RETIRED
        retired.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        digest = hashlib.sha256(old.public.blob).hexdigest()[:_NAME_DIGITS]
        write_line(retired / f"{old.kind}-{digest}.pub", old.public)
        replace(self._path(old.kind, _NEXT), self._path(old.kind))
        return self._settled(old.kind)

    def _find_retiring(self, fingerprint: str) -> KindKeys:
        """Return the keys of the kind whose current key this is, if it can retire."""
        for kind in KeyKind:
            keys = self._settle(kind)
            if keys is None:
                continue
            current = keys.current.public.fingerprint
            if keys.next is not None and keys.next.public.fingerprint == fingerprint:
                raise HostKeyNotCurrent(fingerprint, kind=kind, current=current)
            if current == fingerprint:
                if keys.next is None:
                    raise NoNextHostKey(kind)
                return keys
        raise UnknownHostKey(fingerprint)

    def _path(self, kind: KeyKind, suffix: str = "") -> Path:
        return self._directory / f"{kind}{suffix}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # For writing, because on NFS the kernel makes a byte-range lock of this one.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._directory / _LOCK, flags, _FILE_MODE)
        except FileNotFoundError:
            raise NoHostKeys(self._directory) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
