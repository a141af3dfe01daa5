# SPDX-License-Identifier: Apache-2.0
"""Who is let in, who must wait, and whom that leaves alone."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from nightdrop.config import Config
from nightdrop.sftp.guard import (
    Guard,
    NodeCrowded,
    Penalty,
    SourceCrowded,
    SourcePenalised,
    Ticket,
    TooManySessions,
)
from nightdrop.storage.ledger import Ledger

NOW = datetime(2026, 11, 23, 2, 14, 7, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
BUREAU, STRANGER = "192.0.2.7", "198.51.100.7"
APPLE, BIRCH = UUID(int=1), UUID(int=2)
MakeGuard = Callable[..., Guard]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of a process that has joined."""
    with closing(Ledger.join(tmp_path / "run" / "ledger")) as ledger:
        yield ledger


@pytest.fixture
def make_guard(tmp_path: Path, ledger: Ledger) -> MakeGuard:
    """Make guards over the ledger."""

    def make(**settings: object) -> Guard:
        return Guard(ledger, config=Config.model_validate({"home": tmp_path} | settings))

    return make


@pytest.fixture
def guard(make_guard: MakeGuard) -> Guard:
    """A guard who knows BUREAU."""
    return introduced(make_guard())


def introduced(guard: Guard) -> Guard:
    """Let somebody log in from BUREAU."""
    guard.logged_in(guard.arrive(BUREAU, now=NOW), "applegrove.org", now=NOW)
    return guard


def fail(
    guard: Guard, times: int, *, source: str = STRANGER, name: str = "x", has_account: bool = True
) -> list[Penalty]:
    """Fail to log in a number of times at once; return the waits that began."""
    begun = []
    for _ in range(times):
        begun += guard.failed(source, name, has_account=has_account, now=NOW)
    return begun


def arrive(guard: Guard, times: int, *, address: str, now: datetime = NOW) -> list[Ticket]:
    return [guard.arrive(address, now=now) for _ in range(times)]


def test_a_source_has_so_many_connections_waiting(make_guard: MakeGuard) -> None:
    guard = make_guard(login_slots_per_source=3)
    tickets = arrive(guard, 3, address="2001:db8::1")
    with pytest.raises(SourceCrowded) as crowded:
        guard.arrive("2001:db8::2", now=NOW)
    assert crowded.value.source == "2001:db8::/64"
    arrive(guard, 3, address="2001:db8:0:1::1")
    guard.left(tickets[0])
    guard.left(tickets[0])
    guard.arrive("2001:db8::2", now=NOW)
    with pytest.raises(SourceCrowded):
        guard.arrive("2001:db8::2", now=NOW)


def test_a_known_source_has_ten_times_as_many(make_guard: MakeGuard) -> None:
    guard = introduced(make_guard(login_slots_per_source=3))
    arrive(guard, 30, address=BUREAU)
    with pytest.raises(SourceCrowded):
        guard.arrive(BUREAU, now=NOW)


def test_a_source_is_known_for_a_week(make_guard: MakeGuard) -> None:
    guard = introduced(make_guard(login_slots_per_source=1))
    arrive(guard, 2, address=BUREAU, now=NOW + 6 * DAY)
    with pytest.raises(SourceCrowded):
        guard.arrive(BUREAU, now=NOW + 7 * DAY)


def test_a_known_source_stays_known_as_long_as_it_logs_in(make_guard: MakeGuard) -> None:
    guard = introduced(make_guard(login_slots_per_source=1))
    later = NOW + 6 * DAY
    guard.logged_in(guard.arrive(BUREAU, now=later), "applegrove.org", now=later)
    tickets = [guard.arrive(BUREAU, now=NOW + 12 * DAY) for _ in range(2)]
    assert [ticket.address for ticket in tickets] == [BUREAU] * 2


def test_strangers_leave_a_quarter_of_the_room(make_guard: MakeGuard) -> None:
    guard = introduced(make_guard(login_slots=8))
    tickets = [guard.arrive(f"198.51.100.{number}", now=NOW) for number in range(6)]
    with pytest.raises(NodeCrowded):
        guard.arrive(STRANGER, now=NOW)
    arrive(guard, 2, address=BUREAU)
    with pytest.raises(NodeCrowded):
        guard.arrive(BUREAU, now=NOW)
    guard.left(tickets[0])
    guard.arrive(STRANGER, now=NOW)


def test_who_has_logged_in_waits_no_longer(make_guard: MakeGuard) -> None:
    guard = make_guard(login_slots=1)
    ticket = guard.arrive(BUREAU, now=NOW)
    guard.logged_in(ticket, "applegrove.org", now=NOW)
    other = guard.arrive(BUREAU, now=NOW)
    guard.left(ticket)
    with pytest.raises(NodeCrowded):
        guard.arrive(BUREAU, now=NOW)
    guard.left(other)


def test_a_name_waits_from_one_source_only(guard: Guard) -> None:
    assert fail(guard, 10, name="applegrove.org") == []
    assert fail(guard, 1, name="AppleGrove.org") == [
        Penalty(STRANGER, "applegrove.org", failures=11, until=NOW + SECOND)
    ]
    assert fail(guard, 5, name="applegrove.org") == [], "a wait is told once"
    assert guard.penalty_until(STRANGER, "APPLEGROVE.org", now=NOW) == NOW + SECOND
    assert guard.penalty_until(STRANGER, "applegrove.org", now=NOW + SECOND) is None
    assert guard.penalty_until(STRANGER, "birchhill.org", now=NOW) is None
    assert guard.penalty_until("198.51.100.8", "applegrove.org", now=NOW) is None
    guard.arrive(STRANGER, now=NOW)


def test_names_that_nobody_has_close_the_door(guard: Guard) -> None:
    for number in range(10):
        assert fail(guard, 1, name=f"guess-{number}", has_account=False) == []
    assert fail(guard, 1, name="guess", has_account=False) == [
        Penalty(STRANGER, None, failures=11, until=NOW + SECOND)
    ]
    with pytest.raises(SourcePenalised) as penalised:
        guard.arrive(STRANGER, now=NOW)
    assert (penalised.value.source, penalised.value.until) == (STRANGER, NOW + SECOND)
    guard.arrive("198.51.100.8", now=NOW)
    guard.arrive(STRANGER, now=NOW + SECOND)


def test_an_empty_name_is_one_that_nobody_has(guard: Guard) -> None:
    begun = fail(guard, 11, name="", has_account=False)
    assert [(penalty.name, penalty.failures) for penalty in begun] == [("?", 11), (None, 11)]
    guard.arrive(BUREAU, now=NOW)
    assert guard.penalty_until(STRANGER, "?", now=NOW) == NOW + SECOND


def test_a_bureau_has_ten_times_the_room(guard: Guard) -> None:
    assert fail(guard, 100, source=BUREAU, name="birchhill.org") == []
    assert len(fail(guard, 1, source=BUREAU, name="birchhill.org")) == 1
    for number in range(100):
        assert fail(guard, 1, source=BUREAU, name=f"guess-{number}", has_account=False) == []
    fail(guard, 1, source=BUREAU, name="guess", has_account=False)
    with pytest.raises(SourcePenalised):
        guard.arrive(BUREAU, now=NOW)


def test_one_misspelt_name_does_not_lock_a_bureau_out(guard: Guard) -> None:
    for minute in range(24 * 60):
        now = NOW + minute * timedelta(minutes=1)
        guard.left(guard.arrive(BUREAU, now=now))
        guard.failed(BUREAU, "aplegrove.org", has_account=False, now=now)
        assert guard.penalty_until(BUREAU, "applegrove.org", now=now) is None
        assert guard.penalty_until(BUREAU, "", now=now) is None
    assert guard.penalty_until(BUREAU, "aplegrove.org", now=now) is not None


def test_who_logs_in_after_all_starts_afresh(guard: Guard) -> None:
    fail(guard, 90, source=BUREAU, name="applegrove.org")
    introduced(guard)
    assert fail(guard, 100, source=BUREAU, name="applegrove.org") == []


def test_an_account_that_changes_works_at_once(guard: Guard) -> None:
    fail(guard, 11, name="applegrove.org")
    fail(guard, 11, name="birchhill.org")
    guard.forget_names(["AppleGrove.org"])
    assert guard.penalty_until(STRANGER, "applegrove.org", now=NOW) is None
    assert guard.penalty_until(STRANGER, "birchhill.org", now=NOW) is not None


def test_an_account_that_is_new_opens_the_door_to_who_tried_it_before(guard: Guard) -> None:
    fail(guard, 11, name="applegrove.org", has_account=False)
    fail(guard, 11, source="198.51.100.8", name="root", has_account=False)
    guard.forget_names(["applegrove.org"])
    guard.arrive(STRANGER, now=NOW)
    with pytest.raises(SourcePenalised):
        guard.arrive("198.51.100.8", now=NOW)


def test_penalties_can_be_turned_off(make_guard: MakeGuard) -> None:
    assert len(fail(make_guard(), 11, has_account=False)) == 2
    guard = make_guard(penalties=False)
    assert fail(guard, 50, has_account=False) == []
    assert guard.penalty_until(STRANGER, "x", now=NOW) is None
    guard.arrive(STRANGER, now=NOW)


def test_the_settings_say_how_much_room_and_how_long(make_guard: MakeGuard) -> None:
    guard = make_guard(penalty_room=1, penalty_most_seconds=3)
    now, waits = NOW, []
    for _ in range(5):
        begun = guard.failed(STRANGER, "x", has_account=True, now=now)
        waits += [round((penalty.until - now) / SECOND) for penalty in begun]
        now = begun[0].until if begun else now
    assert waits == [1, 2, 3, 3]


def test_a_district_has_so_many_sessions_over_all_processes(
    make_guard: MakeGuard, tmp_path: Path
) -> None:
    guard = make_guard(sessions_per_district=3)
    with closing(Ledger.join(tmp_path / "run" / "ledger")) as ledger:
        other = Guard(ledger, config=Config(home=tmp_path, sessions_per_district=3))
        other.enter_session(APPLE)
        guard.enter_session(APPLE)
        guard.enter_session(APPLE)
        for each in (guard, other):
            with pytest.raises(TooManySessions) as many:
                each.enter_session(APPLE)
            assert many.value.limit == 3
        guard.enter_session(BIRCH)
        guard.leave_session(APPLE)
        other.enter_session(APPLE)
        with pytest.raises(TooManySessions):
            guard.enter_session(APPLE)
    # The other process is gone, and its sessions are.
    guard.enter_session(APPLE)
    guard.enter_session(APPLE)
    with pytest.raises(TooManySessions):
        guard.enter_session(APPLE)
