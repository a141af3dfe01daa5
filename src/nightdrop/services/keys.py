# SPDX-License-Identifier: Apache-2.0
"""Installing keys on accounts, and telling the SFTP servers who may log in."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import Any, ClassVar
from uuid import UUID

import psycopg
from django.db import Error, IntegrityError, connection
from psycopg.conninfo import make_conninfo

from nightdrop.core.accounts import Account, AccountKey, Snapshot
from nightdrop.core.errors import Refusal
from nightdrop.core.keys import KeyWarning, check_policy, read_public_key
from nightdrop.db.access import drop_connections, in_district
from nightdrop.db.models import AccountKey as KeyRow

#: The channel on which the database says that accounts or keys have changed.
CHANNEL = "nightdrop_keys"
#: How much of a label is kept; a pasted line may have a comment of any length.
LABEL_CHARACTERS = 200
#: The columns by name: a later version may have more.
_SNAPSHOT = (
    "SELECT district, username, is_suspended, quota_bytes, quota_files,"
    " fingerprint, blob, label, expires_at, networks FROM nightdrop_key_snapshot()"
)
_ACCOUNT_COLUMNS = 5
#: How long a watcher waits before it asks a database that was away again.
RECONNECT_SECONDS = 0.2


class KeyAlreadyInstalled(Refusal):
    """The account has this key."""

    code: ClassVar[str] = "key-already-installed"

    def __init__(self, fingerprint: str, *, label: str) -> None:
        super().__init__(fingerprint)
        self.fingerprint = fingerprint
        self.label = label


class UnknownKey(Refusal):
    """The account has no such key."""

    code: ClassVar[str] = "unknown-key"

    def __init__(self, fingerprint: str) -> None:
        super().__init__(fingerprint)
        self.fingerprint = fingerprint


class BadNetwork(Refusal):
    """A text that is no network in CIDR form."""

    code: ClassVar[str] = "bad-network"

    def __init__(self, network: str) -> None:
        super().__init__(network)
        self.network = network


@dataclass(frozen=True, slots=True)
class InstalledKey:
    """A key that was just installed, and what its installer should know about it."""

    row: KeyRow
    warnings: tuple[KeyWarning, ...]


def add_key(
    district: UUID,
    *,
    key_id: UUID,
    text: bytes,
    label: str | None,
    expires_at: datetime | None,
    networks: tuple[str, ...],
    now: datetime,
) -> InstalledKey:
    """Install a public key on a district's account; SFTP servers know it within a second.

    `expires_at` and `networks`, where given, win over ``expiry-time=`` and ``from=`` in a
    pasted line. Raises KeyAlreadyInstalled, BadNetwork and what `read_public_key` and
    `check_policy` raise; nothing of a refused text is kept or logged.
    """
    key = read_public_key(text)
    warnings = check_policy(key)
    allowed = [_canonical_network(network) for network in networks or key.options.networks]
    row = KeyRow(
        id=key_id,
        district_id=district,
        fingerprint=key.fingerprint,
        type=key.type.value,
        bits=key.bits,
        blob=key.blob,
        label=(key.comment if label is None else label)[:LABEL_CHARACTERS],
        expires_at=expires_at or key.options.expires_at,
        networks=allowed,
        added_at=now,
    )
    try:
        with in_district(district):
            row.save(force_insert=True)
    except IntegrityError:
        _refuse_installed(district, key.fingerprint)
        raise
    return InstalledKey(row=row, warnings=warnings)


def _refuse_installed(district: UUID, fingerprint: str) -> None:
    with in_district(district):
        present = KeyRow.objects.filter(fingerprint=fingerprint, revoked_at=None).first()
    if present is not None:
        raise KeyAlreadyInstalled(fingerprint, label=present.label) from None


def list_keys(district: UUID) -> list[KeyRow]:
    """Return the keys on a district's account, oldest first."""
    with in_district(district):
        return list(KeyRow.objects.filter(revoked_at=None).order_by("added_at"))


def revoke_key(district: UUID, fingerprint: str, *, now: datetime) -> None:
    """Take a key off a district's account. Raises UnknownKey."""
    with in_district(district):
        revoked = KeyRow.objects.filter(fingerprint=fingerprint, revoked_at=None).update(
            revoked_at=now
        )
    if not revoked:
        raise UnknownKey(fingerprint)


def read_snapshot(*, now: datetime) -> Snapshot:
    """Return every account and its keys, as the database has them now."""
    accounts: dict[tuple[Any, ...], list[AccountKey]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_SNAPSHOT)
        # One row for each key; one without a key for an account that has none.
        for row in cursor.fetchall():
            keys = accounts.setdefault(row[:_ACCOUNT_COLUMNS], [])
            fingerprint, *rest = row[_ACCOUNT_COLUMNS:]
            if fingerprint is not None:
                keys.append(_read_key(fingerprint, *rest))
    return Snapshot.of(
        *(_read_account(*columns, keys=keys) for columns, keys in accounts.items()), taken_at=now
    )


def _read_account(
    district: UUID,
    username: str,
    is_suspended: bool,  # noqa: FBT001 - a column
    quota_bytes: int | None,
    quota_files: int | None,
    *,
    keys: list[AccountKey],
) -> Account:
    return Account(
        district=district,
        username=username,
        is_suspended=is_suspended,
        keys=tuple(keys),
        quota_bytes=quota_bytes,
        quota_files=quota_files,
    )


def _read_key(
    fingerprint: str, blob: bytes, label: str, expires_at: datetime | None, networks: list[str]
) -> AccountKey:
    return AccountKey(
        fingerprint=fingerprint,
        blob=bytes(blob),
        label=label,
        expires_at=expires_at,
        networks=tuple(networks),
    )


def watch_snapshot(
    *, stop: threading.Event, reread_seconds: float, clock: Callable[[], datetime]
) -> Iterator[Snapshot]:
    """Yield the snapshot now, after every change, and at least every `reread_seconds`.

    LISTEN comes before the first read, so that no change falls between them. While the
    database is away nothing is yielded; the watcher asks again until `stop` is set.
    """
    while not stop.is_set():
        try:
            yield from _watch_connected(stop=stop, reread_seconds=reread_seconds, clock=clock)
        except (Error, psycopg.Error):
            drop_connections()
            stop.wait(RECONNECT_SECONDS)


def _watch_connected(
    *, stop: threading.Event, reread_seconds: float, clock: Callable[[], datetime]
) -> Iterator[Snapshot]:
    with psycopg.connect(_own_connection(), autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        while not stop.is_set():
            yield read_snapshot(now=clock())
            _wait_for_change(listener, stop=stop, seconds=reread_seconds)


def _wait_for_change(
    listener: psycopg.Connection[tuple[object, ...]], *, stop: threading.Event, seconds: float
) -> None:
    waited = 0.0
    while waited < seconds and not stop.is_set():
        for _ in listener.notifies(timeout=1, stop_after=1):
            return
        waited += 1
        listener.execute("SELECT 1")


def _own_connection() -> str:
    """Return the parameters of Django's connection, for one that no pool shares."""
    parameters = connection.get_connection_params()
    named = ("host", "port", "user", "password", "dbname")
    return make_conninfo(**{name: parameters[name] for name in named if name in parameters})


def _canonical_network(text: str) -> str:
    try:
        return str(ip_network(text.strip(), strict=False))
    except ValueError:
        raise BadNetwork(text) from None
