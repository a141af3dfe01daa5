# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.core.events import Event, EventKind, NotAnEvent, read_event, write_event

EVENT = Event(
    id=UUID(int=1),
    at=datetime(2026, 9, 28, 2, 14, 7, 123456, tzinfo=UTC),
    kind=EventKind.FILE_WRITTEN,
    district=UUID(int=2),
    session=UUID(int=3),
    facts={"path": "/upload/Ämter.csv", "size_bytes": 12, "whole": True, "more": [None, 1.5]},
)

FACTS: st.SearchStrategy[dict[str, str | int | bool | None]] = st.dictionaries(
    st.text(), st.text() | st.integers() | st.booleans() | st.none()
)


def test_an_event_is_one_line_of_ascii() -> None:
    line = write_event(EVENT)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert read_event(line) == EVENT


@given(
    st.builds(
        Event,
        id=st.uuids(),
        at=st.datetimes(timezones=st.just(UTC)),
        kind=st.sampled_from(EventKind),
        district=st.none() | st.uuids(),
        session=st.none() | st.uuids(),
        facts=FACTS,
    )
)
def test_every_event_comes_back(event: Event) -> None:
    line = write_event(event)
    assert line.count(b"\n") == 1
    assert read_event(line) == event


def test_a_cut_line_is_no_event() -> None:
    line = write_event(EVENT).rstrip(b"\n")
    for length in range(len(line)):
        with pytest.raises(NotAnEvent) as refused:
            read_event(line[:length])
        assert refused.value.line == line[:length]


@pytest.mark.parametrize("kind", ["file-eaten", "f", "f" * 32, "file-2"])
def test_an_event_of_a_newer_version_is_read_and_written_as_it_is(kind: str) -> None:
    line = write_event(EVENT).replace(b"file-written", kind.encode())
    event = read_event(line)
    assert event.kind == kind
    assert event.facts == EVENT.facts
    assert write_event(event) == line


def test_every_kind_has_room_in_the_database() -> None:
    for kind in EventKind:
        foreign = write_event(EVENT).replace(b"file-written", kind.replace("-", "0").encode())
        assert read_event(foreign).kind == kind.replace("-", "0")


@pytest.mark.parametrize(
    "line",
    [
        b"null",
        b"[]",
        b"{}",
        b'{"id":1}',
        b"[" * 100_000,
        write_event(EVENT).replace(b"file-written", b"File-Eaten"),
        write_event(EVENT).replace(b"file-written", b"f" * 33),
        write_event(EVENT).replace(b"file-written", b""),
        write_event(EVENT).replace(b'"file-written"', b"7"),
        write_event(EVENT).replace(b'"file-written"', b"[]"),
        write_event(EVENT).replace(b"+00:00", b""),
        write_event(EVENT).replace(b"0000-", b"000-"),
    ],
)
def test_a_line_of_another_making_is_no_event(line: bytes) -> None:
    with pytest.raises(NotAnEvent):
        read_event(line)
