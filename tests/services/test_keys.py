# SPDX-License-Identifier: Apache-2.0
"""Keys are installed, listed and revoked; what is refused leaves nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import connection

from core.keys.key_lines import make_ed25519_blob, make_key_line, vector
from fix_database import admin_connection
from fix_district import moment
from fix_night import race
from nightdrop.core.keys import read_public_key
from nightdrop.core.keys.errors import KeyRefused, PrivateKeyGiven
from nightdrop.db.access import in_district
from nightdrop.db.models import AccountKey, District
from nightdrop.services.districts import suspend_district
from nightdrop.services.keys import (
    LABEL_CHARACTERS,
    BadNetwork,
    InstalledKey,
    KeyAlreadyInstalled,
    UnknownKey,
    add_key,
    list_keys,
    read_snapshot,
    revoke_key,
)

LINE = make_key_line(comment="night@applegrove.org")


def add(district: District, text: bytes = LINE, **other: Any) -> InstalledKey:  # noqa: ANN401
    arguments: dict[str, Any] = {
        "key_id": uuid4(),
        "label": None,
        "expires_at": None,
        "networks": (),
        "now": moment(),
    }
    return add_key(district.id, text=text, **(arguments | other))


def dump(district: District) -> str:
    """Return everything that the database has, in any table."""
    with admin_connection(connection.settings_dict["NAME"]) as admin:
        tables = admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        names = [str(name) for (name,) in tables.fetchall()]
        return "\n".join(
            str(
                admin.execute(
                    psycopg.sql.SQL("SELECT * FROM {}").format(psycopg.sql.Identifier(name))
                ).fetchall()
            )
            for name in names
        )


def test_a_key_is_installed(apple: District) -> None:
    now = moment()
    row = add(apple, now=now).row
    expected = read_public_key(LINE)
    (found,) = list_keys(apple.id)
    assert found.id == row.id
    assert (found.fingerprint, found.type, found.bits) == (
        expected.fingerprint,
        "ssh-ed25519",
        256,
    )
    assert bytes(found.blob) == expected.blob
    assert (found.label, found.networks, found.added_at) == ("night@applegrove.org", [], now)
    assert (found.expires_at, found.revoked_at, found.last_used_at) == (None, None, None)


def test_keys_are_listed_oldest_first_and_per_district(apple: District, birch: District) -> None:
    now = moment()
    second = add(apple, vector("ecdsa256.pub"), now=now).row
    first = add(apple, now=now - timedelta(days=1)).row
    theirs = add(birch).row
    assert [key.id for key in list_keys(apple.id)] == [first.id, second.id]
    assert [key.id for key in list_keys(birch.id)] == [theirs.id]


def test_what_is_given_wins_over_what_is_pasted(apple: District) -> None:
    text = make_key_line(options='from="192.0.2.0/24",expiry-time="20300101"')
    pasted = add(apple, text).row
    assert pasted.networks == ["192.0.2.0/24"]
    assert pasted.expires_at is not None
    revoke_key(apple.id, pasted.fingerprint, now=moment())
    ends = datetime(2028, 1, 1, tzinfo=UTC)
    given = add(
        apple, text, label="exporter", expires_at=ends, networks=(" 198.51.100.7 ", "2001:db8::/32")
    ).row
    assert (given.label, given.expires_at) == ("exporter", ends)
    assert given.networks == ["198.51.100.7/32", "2001:db8::/32"]


@pytest.mark.parametrize("network", ["", "here", "192.0.2.0/33", "192.0.2", "*.org", "::/129"])
def test_a_bad_network_is_refused(apple: District, network: str) -> None:
    with pytest.raises(BadNetwork) as refusal:
        add(apple, networks=("192.0.2.0/24", network))
    assert refusal.value.network == network
    assert list_keys(apple.id) == []


def test_a_key_is_installed_once_and_the_refusal_names_it(apple: District) -> None:
    add(apple, label="the exporter")
    with pytest.raises(KeyAlreadyInstalled) as refusal:
        add(apple, make_key_line(comment="another comment"))
    assert refusal.value.label == "the exporter"
    assert refusal.value.fingerprint == read_public_key(LINE).fingerprint
    assert len(list_keys(apple.id)) == 1


def test_of_installers_at_once_one_installs(apple: District) -> None:
    def install() -> str:
        try:
            return add(apple, label="mine").row.label
        except KeyAlreadyInstalled as refusal:
            return f"refused, because of {refusal.label}"

    assert sorted(race(*[install] * 4)) == ["mine"] + ["refused, because of mine"] * 3


def test_a_service_bureau_has_one_key_for_many(apple: District, birch: District) -> None:
    assert add(apple).row.fingerprint == add(birch).row.fingerprint


def test_a_comment_of_any_length_is_taken(apple: District) -> None:
    row = add(apple, make_key_line(comment="ä" * 3000)).row
    assert row.label == "ä" * LABEL_CHARACTERS
    assert list_keys(apple.id)[0].label == row.label


def test_a_revoked_key_is_gone_and_may_come_again(apple: District) -> None:
    fingerprint = add(apple).row.fingerprint
    now = moment()
    revoke_key(apple.id, fingerprint, now=now)
    assert list_keys(apple.id) == []
    with in_district(apple.id):
        assert [key.revoked_at for key in AccountKey.objects.all()] == [now]
    with pytest.raises(UnknownKey):
        revoke_key(apple.id, fingerprint, now=moment())
    add(apple)
    assert len(list_keys(apple.id)) == 1


def test_another_districts_key_cannot_be_revoked(apple: District, birch: District) -> None:
    fingerprint = add(apple).row.fingerprint
    with pytest.raises(UnknownKey) as refusal:
        revoke_key(birch.id, fingerprint, now=moment())
    assert refusal.value.fingerprint == fingerprint
    assert len(list_keys(apple.id)) == 1


def test_a_private_key_leaves_nothing(apple: District) -> None:
    key = Ed25519PrivateKey.generate()
    for form in (PrivateFormat.OpenSSH, PrivateFormat.PKCS8):
        text = key.private_bytes(Encoding.PEM, form, NoEncryption())
        with pytest.raises(PrivateKeyGiven):
            add(apple, text, label=None)
        everything = dump(apple)
        for line in text.decode().splitlines()[1:-1]:
            assert line not in everything
    assert list_keys(apple.id) == []


@pytest.mark.parametrize("name", ["rsa1024.pub", "dsa.pub", "certified-cert.pub"])
def test_a_key_against_the_policy_is_refused(apple: District, name: str) -> None:
    with pytest.raises(KeyRefused):
        add(apple, vector(name))
    assert list_keys(apple.id) == []


def test_the_snapshot_has_every_account(apple: District, birch: District) -> None:
    ends = datetime(2030, 1, 1, tzinfo=UTC)
    add(apple, label="exporter", expires_at=ends, networks=("192.0.2.0/24",))
    revoke_key(apple.id, add(apple, vector("ecdsa256.pub")).row.fingerprint, now=moment())
    suspend_district("birchhill.org", now=moment())
    now = moment()
    snapshot = read_snapshot(now=now)
    assert snapshot.taken_at == now
    assert snapshot.accounts.keys() == {"applegrove.org", "birchhill.org"}
    ours, theirs = (snapshot.accounts[name] for name in ("applegrove.org", "birchhill.org"))
    assert (ours.district, ours.username, ours.is_suspended) == (apple.id, "applegrove.org", False)
    (key,) = ours.keys
    assert (key.blob, key.label, key.expires_at) == (make_ed25519_blob(), "exporter", ends)
    assert key.fingerprint == read_public_key(LINE).fingerprint
    assert key.networks == ("192.0.2.0/24",)
    assert (theirs.is_suspended, theirs.keys) == (True, ())
