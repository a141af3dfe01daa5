# SPDX-License-Identifier: Apache-2.0
"""Who may log in over SFTP: accounts, their keys, and the decision.

The decision is made from a `Snapshot` of all accounts and nothing else, so that it needs
no database, is the same on every node, and can be read in one function. The reader of a
refusal is the operator or the district in its connection log; the client never learns
which of the reasons it was.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_network
from typing import Final, Self
from uuid import UUID

from nightdrop.core.addresses import read_address
from nightdrop.core.errors import Refusal
from nightdrop.core.quota import Amount, choose_quota

#: Version of the JSON below. A copy of another version is not read.
_VERSION: Final = 1


class LoginFault(StrEnum):
    """Why a login was refused. Goes to the journal, never to the client."""

    #: No account has this name.
    UNKNOWN_USER = "unknown-user"
    #: The district is suspended.
    SUSPENDED = "suspended"
    #: The key is not installed on this account.
    UNKNOWN_KEY = "unknown-key"
    #: The key was installed with an end, which has passed.
    KEY_EXPIRED = "key-expired"
    #: The key may not be used from this address.
    WRONG_NETWORK = "wrong-network"
    #: The server has not heard from the database for too long to trust what it knows.
    SNAPSHOT_TOO_OLD = "snapshot-too-old"
    #: The key was right, the proof of possessing it was not.
    BAD_SIGNATURE = "bad-signature"
    #: The key was right, the signature used SHA-1 or something else that is not accepted.
    WEAK_SIGNATURE = "weak-signature"
    #: The client never offered a key: it has none, or wanted to use a password.
    NO_KEY_OFFERED = "no-key-offered"
    #: The client went away, or took too long, before it had proved that it has the key.
    GAVE_UP = "gave-up"
    #: Client and server have no algorithm in common: the client is too old, or set up oddly.
    NO_COMMON_ALGORITHMS = "no-common-algorithms"
    #: Everything was right, but the district has as many sessions open as it may.
    TOO_MANY_SESSIONS = "too-many-sessions"
    #: Too many logins with this name failed from there; it must wait.
    PENALISED = "penalised"


class SnapshotDamaged(Refusal):
    """A stored snapshot cannot be read; `why` says what is wrong with it."""

    code = "snapshot-damaged"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class AccountKey:
    """One public key installed on one account.

    Shape: `fingerprint` as ``SHA256:...``; `blob` as on the wire (RFC 4253, 6.6);
           `networks` in CIDR notation, none meaning any.
    """

    fingerprint: str
    blob: bytes
    label: str
    expires_at: datetime | None = None
    networks: tuple[str, ...] = ()

    def is_expired(self, *, now: datetime) -> bool:
        """Whether the key has reached its end."""
        return self.expires_at is not None and self.expires_at <= now

    def is_allowed_from(self, address: str) -> bool:
        """Whether the key may be used from `address`.

        An address or network that cannot be read allows nothing: a typing error in a
        restriction must not lift it.
        """
        if not self.networks:
            return True
        try:
            place = read_address(address)
            return any(place in ip_network(network, strict=False) for network in self.networks)
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Account:
    """One district's SFTP account. `username` is in lower case.

    `quota_bytes` and `quota_files` are None where nothing was set for this account.
    """

    district: UUID
    username: str
    is_suspended: bool = False
    keys: tuple[AccountKey, ...] = ()
    quota_bytes: int | None = None
    quota_files: int | None = None

    def find_quota(self, *, default: Amount) -> Amount:
        """Return what the account may have in ``/upload``."""
        return choose_quota(self.quota_bytes, self.quota_files, default=default)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All accounts as they were at `taken_at`, by user name in lower case."""

    taken_at: datetime
    accounts: Mapping[str, Account] = field(default_factory=dict)

    @classmethod
    def of(cls, *accounts: Account, taken_at: datetime) -> Self:
        """Make a snapshot of some accounts."""
        return cls(taken_at, {account.username.lower(): account for account in accounts})

    def is_too_old(self, *, now: datetime, max_age: timedelta) -> bool:
        """Whether logins should no longer be decided from this."""
        return now - self.taken_at > max_age


@dataclass(frozen=True, slots=True)
class Accepted:
    """`key` opens `account`."""

    account: Account
    key: AccountKey


@dataclass(frozen=True, slots=True)
class Refused:
    """The login is refused. `account` and `key` are those that were recognised, if any."""

    reason: LoginFault
    account: Account | None = None
    key: AccountKey | None = None


def decide_login(
    snapshot: Snapshot | None,
    *,
    username: str,
    blob: bytes,
    address: str,
    now: datetime,
    max_age: timedelta | None = None,
) -> Accepted | Refused:
    """Decide whether the key `blob` opens the account `username` from `address`.

    User names are compared in lower case. No snapshot at all counts as one that is too
    old. Whether the client possesses the key is for the caller to find out.
    """
    if snapshot is None:
        return Refused(LoginFault.SNAPSHOT_TOO_OLD)
    account = snapshot.accounts.get(username.lower())
    if account is None:
        return Refused(LoginFault.UNKNOWN_USER)
    key = next((key for key in account.keys if key.blob == blob), None)
    if key is None:
        return Refused(LoginFault.UNKNOWN_KEY, account)
    if max_age is not None and snapshot.is_too_old(now=now, max_age=max_age):
        return Refused(LoginFault.SNAPSHOT_TOO_OLD, account, key)
    if account.is_suspended:
        return Refused(LoginFault.SUSPENDED, account, key)
    if key.is_expired(now=now):
        return Refused(LoginFault.KEY_EXPIRED, account, key)
    if not key.is_allowed_from(address):
        return Refused(LoginFault.WRONG_NETWORK, account, key)
    return Accepted(account, key)


def write_snapshot(snapshot: Snapshot) -> bytes:
    """Write a snapshot as JSON, for `read_snapshot`."""
    return json.dumps(
        {
            "version": _VERSION,
            "taken_at": snapshot.taken_at.isoformat(),
            "accounts": [_account_to_json(account) for account in snapshot.accounts.values()],
        },
        separators=(",", ":"),
    ).encode()


def read_snapshot(data: bytes) -> Snapshot:
    """Read what `write_snapshot` wrote.

    Raises:  SnapshotDamaged, also for a snapshot of another version.
    """
    try:
        found = json.loads(data)
        if found["version"] != _VERSION:
            raise SnapshotDamaged("another version of Nightdrop wrote it")
        accounts = [_account_from_json(account) for account in found["accounts"]]
        return Snapshot.of(*accounts, taken_at=_aware(found["taken_at"]))
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise SnapshotDamaged(type(fault).__name__) from fault


def _account_to_json(account: Account) -> dict[str, object]:
    return {
        "district": str(account.district),
        "username": account.username,
        "is_suspended": account.is_suspended,
        "quota_bytes": account.quota_bytes,
        "quota_files": account.quota_files,
        "keys": [
            {
                "fingerprint": key.fingerprint,
                "blob": base64.b64encode(key.blob).decode(),
                "label": key.label,
                "expires_at": key.expires_at.isoformat() if key.expires_at else None,
                "networks": list(key.networks),
            }
            for key in account.keys
        ],
    }


def _account_from_json(found: dict[str, object]) -> Account:
    keys = found["keys"]
    if not isinstance(keys, list) or not isinstance(found["is_suspended"], bool):
        raise TypeError
    return Account(
        district=UUID(_text(found["district"])),
        username=_text(found["username"]),
        is_suspended=found["is_suspended"],
        keys=tuple(_key_from_json(key) for key in keys),
        # A copy from before there were quotas has none: it must do for a restart, too.
        quota_bytes=_number_or_none(found.get("quota_bytes")),
        quota_files=_number_or_none(found.get("quota_files")),
    )


def _key_from_json(found: dict[str, object]) -> AccountKey:
    networks = found["networks"]
    if not isinstance(networks, list):
        raise TypeError
    return AccountKey(
        fingerprint=_text(found["fingerprint"]),
        blob=base64.b64decode(_text(found["blob"]), validate=True),
        label=_text(found["label"]),
        expires_at=None if found["expires_at"] is None else _aware(found["expires_at"]),
        networks=tuple(_text(network) for network in networks),
    )


def _aware(found: object) -> datetime:
    """Read a time that names its zone: one without could not be compared with the clock."""
    at = datetime.fromisoformat(_text(found))
    if at.tzinfo is None:
        raise ValueError
    return at


def _text(found: object) -> str:
    """Return `found` if it is text.

    Reading strictly matters: a damaged `networks` must not come out as no restriction.
    """
    if not isinstance(found, str):
        raise TypeError
    return found


def _number_or_none(found: object) -> int | None:
    if found is None or type(found) is int:
        return found
    raise TypeError
