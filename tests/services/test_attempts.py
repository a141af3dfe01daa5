# SPDX-License-Identifier: Apache-2.0
"""What a district sees of the attempts to log in to its account."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from nightdrop.core.accounts import LoginFault
from nightdrop.core.events import JSON, Ending, Event, EventKind
from nightdrop.db.access import in_district
from nightdrop.db.models import District
from nightdrop.services.attempts import (
    ENDINGS,
    REFUSALS,
    KeyTried,
    explain_refusal,
    list_attempts,
)
from nightdrop.services.events import ship

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
CLIENT: Mapping[str, JSON] = MappingProxyType(
    {
        "address": "192.0.2.7",
        "client": "SSH-2.0-OpenSSH_9.2",
        "kex": "curve25519-sha256",
        "cipher": "aes128-gcm@openssh.com",
        "host_key": "SHA256:host",
        "username": "applegrove.org",
    }
)


class Visitor:
    """One connection, and what it tries second by second."""

    def __init__(self, district: UUID, *, at: datetime = START) -> None:
        self.id = uuid4()
        self.district: UUID | None = district
        self.at = at
        self.events: list[Event] = []

    def note(self, kind: EventKind, **facts: JSON) -> None:
        """Note that something happened, a second after the last."""
        self.events.append(
            Event(
                id=uuid4(), at=self.at, kind=kind, district=self.district, session=self.id,
                facts={**CLIENT, **facts},
            )
        )  # fmt: skip
        self.at += timedelta(seconds=1)

    def refuse(self, reason: str, fingerprint: str | None = "SHA256:wrong") -> None:
        """Note a login that failed."""
        key_type = "ssh-ed25519" if fingerprint else None
        self.note(
            EventKind.LOGIN_REFUSED, reason=reason, fingerprint=fingerprint, key_type=key_type
        )

    def accept(self, fingerprint: str = "SHA256:right") -> None:
        """Note a login."""
        self.note(EventKind.LOGIN_ACCEPTED, fingerprint=fingerprint, key_type="ssh-rsa")

    def leave(self, ending: Ending = Ending.CLOSED, told: str | None = None) -> None:
        """Note the end."""
        self.note(EventKind.DISCONNECTED, reason=ending.value, told=told)


def tell(*visitors: Visitor) -> None:
    ship([event for visitor in visitors for event in visitor.events], settle_seconds=60)


def test_a_refused_attempt_says_why(apple: District) -> None:
    visitor = Visitor(apple.id)
    visitor.refuse(LoginFault.UNKNOWN_KEY)
    tell(visitor)
    (attempt,) = list_attempts(apple.id, since=None, limit=10)
    assert (attempt.connection, attempt.at) == (visitor.id, START)
    assert (attempt.address, attempt.client) == ("192.0.2.7", "SSH-2.0-OpenSSH_9.2")
    assert attempt.username == "applegrove.org"
    assert not attempt.is_accepted
    assert attempt.reason == LoginFault.UNKNOWN_KEY
    assert attempt.sentence == REFUSALS[LoginFault.UNKNOWN_KEY]
    assert attempt.keys == (
        KeyTried(fingerprint="SHA256:wrong", type="ssh-ed25519", reason="unknown-key"),
    )
    assert attempt.algorithms == {
        "kex": "curve25519-sha256", "cipher": "aes128-gcm@openssh.com", "host_key": "SHA256:host",
    }  # fmt: skip
    assert (attempt.ended_at, attempt.ending) == (None, None)


def test_a_login_shows_what_was_tried_before_and_how_it_ended(apple: District) -> None:
    visitor = Visitor(apple.id)
    visitor.refuse(LoginFault.UNKNOWN_KEY, "SHA256:one")
    visitor.refuse(LoginFault.UNKNOWN_KEY, "SHA256:two")
    visitor.accept()
    visitor.note(EventKind.FILE_WRITTEN, path="/upload/x", size_bytes=1)
    visitor.leave(Ending.ENDED, told="The server is restarting.")
    tell(visitor)
    (attempt,) = list_attempts(apple.id, since=None, limit=10)
    assert attempt.is_accepted
    assert (attempt.reason, attempt.sentence) == (None, "Logged in.")
    assert [(key.fingerprint, key.reason) for key in attempt.keys] == [
        ("SHA256:one", "unknown-key"), ("SHA256:two", "unknown-key"), ("SHA256:right", None),
    ]  # fmt: skip
    assert attempt.at == START
    assert attempt.ended_at == START + timedelta(seconds=4)
    assert attempt.ending == "The server ended it. The server is restarting."


def test_a_session_refused_after_the_login_is_a_fault_of_an_accepted_one(apple: District) -> None:
    visitor = Visitor(apple.id)
    visitor.accept()
    visitor.at += timedelta(hours=20)
    visitor.refuse(LoginFault.TOO_MANY_SESSIONS, "SHA256:right")
    tell(visitor)
    (attempt,) = list_attempts(apple.id, since=START + timedelta(hours=1), limit=1)
    assert attempt.is_accepted
    assert attempt.at == START
    assert attempt.sentence == REFUSALS[LoginFault.TOO_MANY_SESSIONS]
    assert [(key.fingerprint, key.reason) for key in attempt.keys] == [("SHA256:right", None)]


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (["unknown-key", "key-expired", "unknown-key"], "key-expired"),
        (["gave-up", "unknown-key"], "gave-up"),
        (["unknown-key", "suspended"], "suspended"),
        (["unknown-key", "of-tomorrow"], "unknown-key"),
        (["of-tomorrow"], "of-tomorrow"),
    ],
)
def test_of_several_reasons_the_most_telling_is_told(
    apple: District, reasons: list[str], told: str
) -> None:
    visitor = Visitor(apple.id)
    for number, reason in enumerate(reasons):
        visitor.refuse(reason, f"SHA256:{number}")
    tell(visitor)
    (attempt,) = list_attempts(apple.id, since=None, limit=10)
    assert attempt.reason == told
    assert attempt.sentence == explain_refusal(told)
    assert len(attempt.keys) == len(reasons)


def test_the_newest_come_first_and_no_more_than_asked_for(apple: District) -> None:
    visitors = [Visitor(apple.id, at=START + timedelta(minutes=n)) for n in range(7)]
    for visitor in visitors:
        for number in range(7):
            visitor.refuse(LoginFault.UNKNOWN_KEY, f"SHA256:{number}")
    tell(*visitors)
    found = list_attempts(apple.id, since=None, limit=5)
    assert [attempt.connection for attempt in found] == [each.id for each in visitors[:1:-1]]
    assert {len(attempt.keys) for attempt in found} == {7}
    since = START + timedelta(minutes=5)
    assert [attempt.at for attempt in list_attempts(apple.id, since=since, limit=5)] == [
        START + timedelta(minutes=6), since
    ]  # fmt: skip
    later = START + timedelta(days=1)
    assert list_attempts(apple.id, since=later, limit=5) == []


def test_attempts_that_go_on_at_once_are_told_apart(apple: District) -> None:
    visitors = [Visitor(apple.id) for _ in range(3)]
    for number in range(4):
        for visitor in visitors:
            visitor.refuse(LoginFault.UNKNOWN_KEY, f"SHA256:{number}")
    tell(*visitors)
    found = list_attempts(apple.id, since=None, limit=10)
    assert {attempt.connection for attempt in found} == {visitor.id for visitor in visitors}
    assert {len(attempt.keys) for attempt in found} == {4}


def test_nobody_sees_anothers_attempts(apple: District, birch: District) -> None:
    theirs, shared = Visitor(birch.id), Visitor(apple.id)
    theirs.refuse(LoginFault.UNKNOWN_KEY)
    # One client may try names of several districts, and one that nobody has.
    shared.refuse(LoginFault.UNKNOWN_KEY, "SHA256:apples")
    shared.district = birch.id
    shared.refuse(LoginFault.SUSPENDED, "SHA256:birches")
    shared.district = None
    shared.refuse(LoginFault.UNKNOWN_USER, "SHA256:nobodys")
    tell(theirs, shared)
    (attempt,) = list_attempts(apple.id, since=None, limit=10)
    assert [key.fingerprint for key in attempt.keys] == ["SHA256:apples"]
    assert attempt.reason == LoginFault.UNKNOWN_KEY
    assert len(list_attempts(birch.id, since=None, limit=10)) == 2


def test_however_many_there_are_the_database_is_asked_twice_by_its_index(apple: District) -> None:
    visitors = [Visitor(apple.id, at=START + timedelta(minutes=n)) for n in range(40)]
    for visitor in visitors:
        visitor.accept()
        visitor.leave()
    tell(*visitors)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert len(list_attempts(apple.id, since=START, limit=30)) == 30
    queries = [each["sql"] for each in captured if "audit_event" in each["sql"]]
    assert len(queries) == 2
    with in_district(apple.id), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for query in queries:
            cursor.execute(f"EXPLAIN {query}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "audit_newest" in plan
            assert "district_id = " in plan.partition("Index Cond:")[2].partition("\n")[0]


def test_every_reason_and_every_ending_has_its_sentence() -> None:
    assert set(REFUSALS) == set(LoginFault)
    assert set(ENDINGS) == set(Ending)
    assert len({*REFUSALS.values()}) == len(REFUSALS)
    assert all(sentence.endswith(".") for sentence in [*REFUSALS.values(), *ENDINGS.values()])
