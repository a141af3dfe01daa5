# SPDX-License-Identifier: Apache-2.0
"""Events of the journals arrive once, and what they tell is done."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from uuid import UUID, uuid4

import pytest

from core.keys.key_lines import make_key_line
from fix_district import moment
from fix_night import BY_SFTP, CLEAN, Nights, jobs, race, tasks_of
from nightdrop.core.events import JSON, Event, EventKind, read_event, write_event
from nightdrop.db.access import OPERATOR, in_district
from nightdrop.db.models import AuditEvent
from nightdrop.services.deliveries import list_deliveries
from nightdrop.services.events import ship
from nightdrop.services.keys import add_key, list_keys, revoke_key
from nightdrop.services.queue import Job
from nightdrop.storage.journal import Journal


def event(
    kind: EventKind,
    district: UUID | None,
    facts: Mapping[str, JSON] = MappingProxyType({}),
    *,
    session: UUID | None = None,
) -> Event:
    return Event(
        id=uuid4(), at=moment(), kind=kind, district=district, session=session, facts=facts
    )


def audited() -> list[AuditEvent]:
    """Return every event, as an operator sees them."""
    return list(AuditEvent.objects.using(OPERATOR).order_by("at"))


def install_key(nights: Nights) -> str:
    return add_key(
        nights.district,
        key_id=uuid4(),
        text=make_key_line(),
        label=None,
        expires_at=None,
        networks=(),
        now=moment(),
    ).row.fingerprint


def test_events_are_kept_as_they_were(nights: Nights) -> None:
    session = uuid4()
    sent = event(
        EventKind.FILE_WRITTEN,
        nights.district,
        {"path": "/upload/x", "size_bytes": 7},
        session=session,
    )
    ship([sent], settle_seconds=60)
    (kept,) = audited()
    assert (kept.id, kept.at, kept.kind) == (sent.id, sent.at, "file-written")
    assert (kept.district_id, kept.session) == (nights.district, session)
    assert kept.facts == {"path": "/upload/x", "size_bytes": 7}


def test_shipping_again_changes_nothing(nights: Nights) -> None:
    session = uuid4()
    nights.send(CLEAN)
    record = nights.seal(by=replace(BY_SFTP, session=session, session_open=True))
    events = [
        event(EventKind.LOGIN_REFUSED, None, {"address": "192.0.2.7"}),
        event(EventKind.SEALED, nights.district, record.to_json(), session=session),
        event(EventKind.SESSION_ENDED, nights.district, session=session),
    ]
    for _ in range(3):
        ship(events, settle_seconds=60)
    assert {each.id for each in audited()} == {each.id for each in events}
    assert len(audited()) == 3
    assert len(list_deliveries(nights.district)) == 1
    assert [job.task for job in jobs()] == [Job.CHECK]


def test_shippers_at_once_keep_each_event_once(nights: Nights) -> None:
    nights.send(CLEAN)
    record = nights.seal()
    events = [
        event(EventKind.SEALED, nights.district, record.to_json()),
        *[event(EventKind.DIRECTORY_MADE, nights.district, {"path": f"/{n}"}) for n in range(200)],
    ]
    race(*[lambda: ship(events, settle_seconds=60)] * 3)
    assert len(audited()) == 201
    assert tasks_of(record.id) == [Job.CHECK]


def test_a_seal_makes_its_delivery_known_and_the_sessions_end_lets_it_go(nights: Nights) -> None:
    session = uuid4()
    nights.send(CLEAN)
    record = nights.seal(by=replace(BY_SFTP, session=session, session_open=True))
    ship(
        [event(EventKind.SEALED, nights.district, record.to_json(), session=session)],
        settle_seconds=600,
    )
    assert nights.delivery(record.id).settles_at == record.sealed_at + timedelta(seconds=600)
    ended = event(EventKind.SESSION_ENDED, nights.district, session=session)
    ship([ended], settle_seconds=600)
    assert nights.delivery(record.id).settles_at == ended.at


def test_what_a_journal_has_read_can_be_shipped(nights: Nights, tmp_path: Path) -> None:
    nights.send(CLEAN)
    record = nights.seal()
    journal = Journal(tmp_path / "journal")
    journal.append(event(EventKind.SEALED, nights.district, record.to_json()))
    batch = journal.pending(10)
    ship(batch.events, settle_seconds=60)
    batch.commit()
    assert [each.id for each in list_deliveries(nights.district)] == [record.id]
    assert not journal.pending(10).events
    journal.close()


def test_an_event_of_a_newer_version_is_kept_and_holds_nothing_up(
    nights: Nights, tmp_path: Path
) -> None:
    """It was written before the version was taken back, and is there when that returns."""
    journal = Journal(tmp_path / "journal")
    foreign = replace(event(EventKind.SEALED, nights.district, {"new": 1}), kind="sealed-anew")
    longest = replace(event(EventKind.SEALED, None), kind="x" * 32)
    known = event(EventKind.DIRECTORY_MADE, nights.district, {"path": "/upload/x"})
    for each in (foreign, longest, known):
        journal.append(each)
    batch = journal.pending(10)
    for _ in range(2):
        ship(batch.events, settle_seconds=60)
    batch.commit()
    assert {(each.id, each.kind) for each in audited()} == {
        (foreign.id, "sealed-anew"), (longest.id, "x" * 32), (known.id, "directory-made"),
    }  # fmt: skip
    assert not list_deliveries(nights.district)
    assert journal.unreadable == 0
    journal.close()


@pytest.mark.parametrize("kind", sorted(set(EventKind) - {EventKind.SEALED}))
def test_every_kind_is_kept_once(nights: Nights, kind: EventKind) -> None:
    events = [event(kind, district) for district in (nights.district, None)]
    for _ in range(2):
        ship(events, settle_seconds=60)
    assert {each.id for each in audited()} == {each.id for each in events}
    assert {each.kind for each in audited()} == {kind.value}
    assert len(audited()) == 2


def test_what_a_journal_gave_up_is_told_to_operators_once(nights: Nights, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", max_bytes=64)
    made = [event(EventKind.DIRECTORY_MADE, nights.district) for _ in range(5)]
    for each in made:
        journal.append(each)
    refused = event(EventKind.LOGIN_REFUSED, nights.district)
    journal.append(refused)
    journal.close()
    journal = Journal(tmp_path / "journal", max_bytes=64)
    assert journal.thin(now=moment()) is not None
    batch = journal.pending(100)
    for _ in range(2):
        ship(batch.events, settle_seconds=60)
    told = [each for each in audited() if each.kind == EventKind.JOURNAL_THINNED]
    assert sum(each.facts["count"] for each in told) == len(made)
    assert {each.district_id for each in told} == {None}
    assert [each.id for each in audited() if each.district_id] == [refused.id]
    journal.close()


def test_a_district_that_is_not_known_is_passed_over(nights: Nights) -> None:
    nobody = uuid4()
    theirs = event(EventKind.LOGIN_ACCEPTED, nobody, {"fingerprint": "SHA256:x"})
    ours = event(EventKind.DIRECTORY_MADE, nights.district, {"path": "/upload/x"})
    ship([theirs, ours], settle_seconds=60)
    assert [each.id for each in audited()] == [ours.id]


def test_what_belongs_to_no_district_is_kept_for_operators(nights: Nights) -> None:
    refused = event(
        EventKind.LOGIN_REFUSED, None, {"username": "nobody.org", "reason": "unknown-user"}
    )
    ship([refused, refused], settle_seconds=60)
    assert [each.id for each in audited()] == [refused.id]
    with in_district(nights.district):
        assert not AuditEvent.objects.exists()
    assert not AuditEvent.objects.exists()


def test_a_login_marks_its_key_as_used(nights: Nights, strangers_nights: Nights) -> None:
    fingerprint = install_key(nights)
    assert install_key(strangers_nights) == fingerprint
    login = event(EventKind.LOGIN_ACCEPTED, nights.district, {"fingerprint": fingerprint})
    ship([login], settle_seconds=60)
    assert [key.last_used_at for key in list_keys(nights.district)] == [login.at]
    assert [key.last_used_at for key in list_keys(strangers_nights.district)] == [None]


def test_a_node_that_was_cut_off_does_not_turn_time_back(nights: Nights) -> None:
    fingerprint = install_key(nights)
    newer = event(EventKind.LOGIN_ACCEPTED, nights.district, {"fingerprint": fingerprint})
    older = replace(newer, id=uuid4(), at=newer.at - timedelta(hours=3))
    ship([newer], settle_seconds=60)
    ship([older], settle_seconds=60)
    assert [key.last_used_at for key in list_keys(nights.district)] == [newer.at]


def test_a_key_that_was_revoked_meanwhile_is_not_marked(nights: Nights) -> None:
    fingerprint = install_key(nights)
    revoke_key(nights.district, fingerprint, now=moment())
    install_key(nights)
    ship(
        [event(EventKind.LOGIN_ACCEPTED, nights.district, {"fingerprint": fingerprint})],
        settle_seconds=60,
    )
    (key,) = list_keys(nights.district)
    assert key.last_used_at is not None


@pytest.mark.parametrize("path", ["/upload/a\0b", "/upload/\ud800", "\0"])
def test_no_path_that_a_client_thinks_of_stops_the_journal(nights: Nights, path: str) -> None:
    """The database takes neither; the event would be tried again for ever, and all behind it."""
    facts: dict[str, JSON] = {"rule": "path-has-nul", "path": path, "old": [{"x": path}]}
    bad = event(EventKind.REFUSED, nights.district, facts)
    good = event(EventKind.DIRECTORY_MADE, nights.district, {"path": "/upload/y"})
    ship([read_event(write_event(each)) for each in (bad, good)], settle_seconds=60)
    kept = {each.id: each.facts for each in audited()}
    assert kept.keys() == {bad.id, good.id}
    assert kept[bad.id]["rule"] == "path-has-nul"
    assert kept[bad.id]["old"] == [{"x": kept[bad.id]["path"]}]
