# SPDX-License-Identifier: Apache-2.0
"""Whom a host key's end would surprise is told from what was audited."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from fix_district import moment
from nightdrop.core.events import JSON, Event, EventKind
from nightdrop.db.models import District
from nightdrop.services.events import ship
from nightdrop.services.hostkeys import find_clients

OLD, NEXT, OTHER = "SHA256:old", "SHA256:next", "SHA256:other"
OPENSSH, WINSCP = "SSH-2.0-OpenSSH_9.2p1 Debian-2", "SSH-2.0-WinSCP_release_6.3.5"
NOW = moment()


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def tell(kind: EventKind, district: UUID | None, at: datetime, **facts: JSON) -> None:
    """Put an event into the audit, as a node's journal does."""
    event = Event(id=uuid4(), at=at, kind=kind, district=district, session=uuid4(), facts=facts)
    ship([event], settle_seconds=60)


def log_in(
    district: District,
    *,
    days_ago: float,
    host_key: str | None = OLD,
    client: str | None = OPENSSH,
    key: str = "SHA256:sis",
) -> None:
    facts: dict[str, JSON] = {"fingerprint": key, "client": client, "host_key": host_key}
    tell(EventKind.LOGIN_ACCEPTED, district.id, ago(days_ago), **facts)


def learn(district: District, *host_keys: str, client: str, key: str = "SHA256:sis") -> None:
    facts: dict[str, JSON] = {"fingerprint": key, "client": client, "host_keys": list(host_keys)}
    tell(EventKind.HOST_KEY_LEARNED, district.id, ago(1), **facts)


def found(*, since_days: float = 400) -> list[tuple[str, str | None, bool]]:
    clients = find_clients(OLD, next_key=NEXT, since=ago(since_days))
    return [(client.username, client.version, client.knows_next) for client in clients]


def test_each_program_of_each_key_counts_as_it_logged_in_last(
    apple: District, birch: District
) -> None:
    log_in(apple, days_ago=3, client="SSH-2.0-OpenSSH_8.4")
    log_in(apple, days_ago=2)
    log_in(apple, days_ago=9, client=WINSCP)
    log_in(apple, days_ago=4, key="SHA256:second")
    log_in(birch, days_ago=5)
    assert found() == [
        ("applegrove.org", OPENSSH, False),
        ("applegrove.org", OPENSSH, False),
        ("applegrove.org", WINSCP, False),
        ("birchhill.org", OPENSSH, False),
    ]
    clients = find_clients(OLD, next_key=NEXT, since=ago(400))
    assert {(client.fingerprint, client.last_at) for client in clients[:2]} == {
        ("SHA256:sis", ago(2)),
        ("SHA256:second", ago(4)),
    }


def test_who_met_another_host_key_last_is_not_concerned(apple: District, birch: District) -> None:
    log_in(apple, days_ago=9)
    log_in(apple, days_ago=2, host_key=OTHER)
    log_in(birch, days_ago=9, host_key=OTHER)
    log_in(birch, days_ago=2)
    assert found() == [("birchhill.org", OPENSSH, False)]


def test_who_was_given_proof_knows_the_next_key(apple: District, birch: District) -> None:
    log_in(apple, days_ago=2)
    log_in(apple, days_ago=2, client=WINSCP)
    log_in(birch, days_ago=2)
    learn(apple, OTHER, NEXT, client="SSH-2.0-OpenSSH_9.9")
    learn(birch, OTHER, client=OPENSSH)
    assert found() == [
        ("applegrove.org", OPENSSH, True),
        ("applegrove.org", WINSCP, False),
        ("birchhill.org", OPENSSH, False),
    ]


@pytest.mark.parametrize("client", [None, "", "SSH-1.5-old", "SSH-2.0-9", "SSH-2.0-ä?"])
def test_a_client_that_says_little_of_itself_is_still_one(
    apple: District, client: str | None
) -> None:
    log_in(apple, days_ago=2, client=client)
    log_in(apple, days_ago=1, client=client)
    assert found() == [("applegrove.org", client, False)]


def test_what_is_long_ago_or_nobodys_is_left_out(apple: District) -> None:
    log_in(apple, days_ago=50)
    tell(EventKind.LOGIN_REFUSED, None, ago(1), fingerprint="SHA256:sis", host_key=OLD)
    tell(EventKind.LOGIN_REFUSED, apple.id, ago(1), fingerprint="SHA256:sis", host_key=OLD)
    assert found(since_days=40) == []
    assert found(since_days=60) == [("applegrove.org", OPENSSH, False)]


def test_logins_of_before_host_keys_were_noted_are_left_out(apple: District) -> None:
    log_in(apple, days_ago=2, host_key=None)
    tell(EventKind.LOGIN_ACCEPTED, apple.id, ago(1), fingerprint="SHA256:new", client=OPENSSH)
    assert found() == []
