# SPDX-License-Identifier: Apache-2.0
"""Who may log in, decided from a snapshot."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from nightdrop.core.accounts import (
    Accepted,
    Account,
    AccountKey,
    LoginFault,
    Refused,
    Snapshot,
    SnapshotDamaged,
    decide_login,
    read_snapshot,
    write_snapshot,
)

NOW = datetime(2026, 11, 23, 2, 14, 7, tzinfo=UTC)
KEY = AccountKey(fingerprint="SHA256:good", blob=b"\0\0\0\x0bssh-ed25519good", label="night")
APPLE = Account(UUID(int=1), "applegrove.org", keys=(KEY,))
BIRCH = Account(UUID(int=2), "birchhill.org")


def decide(
    account: Account = APPLE,
    *,
    username: str = "applegrove.org",
    blob: bytes = KEY.blob,
    address: str = "192.0.2.7",
    now: datetime = NOW,
) -> Accepted | Refused:
    return decide_login(
        Snapshot.of(account, BIRCH, taken_at=NOW),
        username=username,
        blob=blob,
        address=address,
        now=now,
        max_age=timedelta(hours=24),
    )


def reason_of(decision: Accepted | Refused) -> LoginFault | None:
    return decision.reason if isinstance(decision, Refused) else None


def with_key(**changes: Any) -> Account:  # noqa: ANN401 - as `replace` takes them
    return replace(APPLE, keys=(replace(KEY, **changes),))


@pytest.mark.parametrize("username", ["applegrove.org", "AppleGrove.ORG"])
def test_a_key_opens_its_account(username: str) -> None:
    assert decide(username=username) == Accepted(APPLE, KEY)


@pytest.mark.parametrize(
    ("account", "asked", "reason"),
    [
        (APPLE, {"username": "nobody.org"}, LoginFault.UNKNOWN_USER),
        (APPLE, {"username": ""}, LoginFault.UNKNOWN_USER),
        (APPLE, {"username": "birchhill.org"}, LoginFault.UNKNOWN_KEY),
        (APPLE, {"blob": b"other"}, LoginFault.UNKNOWN_KEY),
        (APPLE, {"blob": b""}, LoginFault.UNKNOWN_KEY),
        (replace(APPLE, is_suspended=True), {}, LoginFault.SUSPENDED),
        (with_key(expires_at=NOW), {}, LoginFault.KEY_EXPIRED),
        (with_key(networks=("198.51.100.0/24",)), {}, LoginFault.WRONG_NETWORK),
        (APPLE, {"now": NOW + timedelta(hours=24, seconds=1)}, LoginFault.SNAPSHOT_TOO_OLD),
    ],
)
def test_everything_else_is_refused_with_its_reason(
    account: Account, asked: dict[str, Any], reason: LoginFault
) -> None:
    assert reason_of(decide(account, **asked)) is reason


def test_a_suspended_account_does_not_betray_itself_to_a_stranger() -> None:
    decision = decide(replace(APPLE, is_suspended=True), blob=b"other")
    assert reason_of(decision) is LoginFault.UNKNOWN_KEY


def test_without_any_snapshot_nobody_logs_in() -> None:
    decision = decide_login(None, username="a", blob=b"", address="", now=NOW)
    assert reason_of(decision) is LoginFault.SNAPSHOT_TOO_OLD


def test_age_plays_no_part_where_none_is_given() -> None:
    decision = decide_login(
        Snapshot.of(APPLE, taken_at=NOW),
        username=APPLE.username,
        blob=KEY.blob,
        address="192.0.2.7",
        now=NOW + timedelta(days=30),
    )
    assert isinstance(decision, Accepted)


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ((), "not an address", True),
        (("192.0.2.0/24",), "192.0.2.255", True),
        (("192.0.2.0/24",), "192.0.3.0", False),
        (("192.0.2.9/24",), "192.0.2.1", True),
        (("10.0.0.0/8", "192.0.2.7/32"), "192.0.2.7", True),
        (("192.0.2.0/24",), "::ffff:192.0.2.5", True),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("2001:db8::/32",), "192.0.2.5", False),
        (("192.0.2.0/24",), "not an address", False),
        (("192.0.2.0/99",), "192.0.2.1", False),
    ],
)
def test_networks_restrict_a_key(networks: tuple[str, ...], address: str, allowed: bool) -> None:  # noqa: FBT001
    decision = decide(with_key(networks=networks), address=address)
    assert reason_of(decision) is (None if allowed else LoginFault.WRONG_NETWORK)


def test_a_snapshot_survives_being_written_and_read() -> None:
    full = replace(KEY, expires_at=NOW, networks=("192.0.2.0/24",), label="Bäckerei \N{KEY}")
    snapshot = Snapshot.of(replace(APPLE, keys=(full, KEY)), BIRCH, taken_at=NOW)
    assert read_snapshot(write_snapshot(snapshot)) == snapshot


def test_a_snapshot_keeps_quotas() -> None:
    snapshot = Snapshot.of(replace(APPLE, quota_bytes=7 << 40, quota_files=0), BIRCH, taken_at=NOW)
    assert read_snapshot(write_snapshot(snapshot)) == snapshot


def test_a_copy_of_before_there_were_quotas_is_read() -> None:
    """A restart without database must go on working, also when it is that of an upgrade."""
    snapshot = Snapshot.of(APPLE, BIRCH, taken_at=NOW)
    found = json.loads(write_snapshot(snapshot))
    for account in found["accounts"]:
        del account["quota_bytes"], account["quota_files"]
    assert read_snapshot(json.dumps(found).encode()) == snapshot


@pytest.mark.parametrize("quota", ["1", 1.5, True, [], {}])
def test_a_damaged_quota_is_refused(quota: object) -> None:
    found = json.loads(write_snapshot(Snapshot.of(APPLE, taken_at=NOW)))
    found["accounts"][0]["quota_bytes"] = quota
    with pytest.raises(SnapshotDamaged):
        read_snapshot(json.dumps(found).encode())


def test_no_part_of_a_snapshot_is_read_as_a_whole() -> None:
    data = write_snapshot(Snapshot.of(APPLE, taken_at=NOW))
    for end in range(len(data)):
        with pytest.raises(SnapshotDamaged):
            read_snapshot(data[:end])


@pytest.mark.parametrize(
    "breaking",
    [
        {"version": 2},
        {"taken_at": "2026-11-23T02:14:07"},
        {"taken_at": None},
        {"accounts": None},
        {"accounts": [{}]},
        {"accounts": ["text"]},
    ],
)
def test_a_damaged_snapshot_is_refused(breaking: dict[str, Any]) -> None:
    found = json.loads(write_snapshot(Snapshot.of(APPLE, taken_at=NOW))) | breaking
    with pytest.raises(SnapshotDamaged):
        read_snapshot(json.dumps(found).encode())


@pytest.mark.parametrize(
    "breaking",
    [
        {"networks": None},
        {"networks": "192.0.2.0/24"},
        {"networks": [1]},
        {"expires_at": "soon"},
        {"expires_at": "2026-11-23T02:14:07"},
        {"blob": "!!!!"},
        {"blob": 1},
        {"fingerprint": None},
    ],
)
def test_a_damaged_restriction_never_reads_as_none(breaking: dict[str, Any]) -> None:
    found = json.loads(write_snapshot(Snapshot.of(APPLE, taken_at=NOW)))
    found["accounts"][0]["keys"][0] |= breaking
    with pytest.raises(SnapshotDamaged):
        read_snapshot(json.dumps(found).encode())
