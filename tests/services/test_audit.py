# SPDX-License-Identifier: Apache-2.0
"""Everything that happened in an account is listed, in order, once, and to nobody else."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from nightdrop.core.events import JSON, Event, EventKind
from nightdrop.db.models import District
from nightdrop.services import audit
from nightdrop.services.audit import describe_event, list_events
from nightdrop.services.events import ship

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def event(
    district: UUID | None,
    kind: EventKind | str = EventKind.FILE_WRITTEN,
    *,
    after_seconds: float = 0,
    session: UUID | None = None,
    **facts: JSON,
) -> Event:
    return Event(
        id=uuid4(), at=START + timedelta(seconds=after_seconds), kind=kind, district=district,
        session=session, facts=facts,
    )  # fmt: skip


def listed(
    district: District,
    *,
    since: datetime | None = None,
    kind: str | None = None,
    limit: int | None = None,
) -> list[UUID]:
    return [each.id for each in list_events(district.id, since=since, kind=kind, limit=limit)]


def test_events_are_listed_newest_first_and_as_they_were(apple: District) -> None:
    session = uuid4()
    events = [
        event(apple.id, EventKind.LOGIN_ACCEPTED, session=session, address="192.0.2.7"),
        event(apple.id, after_seconds=1, session=session, path="/upload/x", size_bytes=7),
    ]
    ship(events, settle_seconds=60)
    newest, oldest = list_events(apple.id, since=None, kind=None, limit=None)
    assert (newest.id, oldest.id) == (events[1].id, events[0].id)
    assert newest.at == START + timedelta(seconds=1)
    assert newest.kind == "file-written"
    assert newest.session == session
    assert newest.facts == {"path": "/upload/x", "size_bytes": 7}
    assert newest.sentence == "/upload/x was written, 7 bytes"
    assert newest.address == oldest.address == "192.0.2.7"


@pytest.mark.parametrize("number", [0, 3, 4, 5, 8, 9])
def test_pages_neither_repeat_nor_skip(
    apple: District, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(audit, "_PAGE", 4)
    # Many at the same time: only their ids tell them apart.
    events = [event(apple.id, after_seconds=each // 5) for each in range(number)]
    if events:
        ship(events, settle_seconds=60)
    expected = [
        each.id for each in sorted(events, key=lambda each: (each.at, each.id), reverse=True)
    ]
    assert listed(apple) == expected
    for limit in (1, 4, 6):
        assert listed(apple, limit=limit) == expected[:limit]


def test_kind_and_time_narrow_it(apple: District) -> None:
    events = [
        event(apple.id, kind, after_seconds=seconds)
        for seconds in (0, 10)
        for kind in (EventKind.FILE_WRITTEN, EventKind.FILE_REMOVED)
    ]
    ship(events, settle_seconds=60)
    assert set(listed(apple, kind="file-removed")) == {events[1].id, events[3].id}
    since = START + timedelta(seconds=10)
    assert listed(apple, kind="file-removed", since=since) == [events[3].id]


def test_nobody_sees_what_is_not_theirs(apple: District, birch: District) -> None:
    own = event(apple.id)
    ship([own, event(birch.id), event(None, EventKind.JOURNAL_THINNED)], settle_seconds=60)
    assert listed(apple) == [own.id]


def test_an_event_of_a_newer_version_is_listed_by_its_name(apple: District) -> None:
    ship([event(apple.id, "folded", path="/upload/x")], settle_seconds=60)
    (found,) = list_events(apple.id, since=None, kind="folded", limit=None)
    assert (found.kind, found.sentence) == ("folded", "folded")


@pytest.mark.parametrize("kind", sorted(EventKind))
def test_every_kind_has_words_that_survive_missing_facts(kind: EventKind) -> None:
    sentence = describe_event(kind, {})
    assert sentence != kind.value
    assert "{" not in sentence
    assert "{x}" in describe_event(EventKind.FILE_WRITTEN, {"path": "{x}", "size_bytes": 1})


def test_lists_are_told_as_lists() -> None:
    told = describe_event(EventKind.SEAL_WAITS, {"epoch": "E", "files": ["a.csv", "b.csv"]})
    assert told == "E cannot be sealed: a.csv, b.csv did not arrive whole"
    refused = describe_event(EventKind.LOGIN_REFUSED, {"reason": "key-expired"})
    assert refused == "login with no key failed: This key has expired. Install a new one."
