# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nightdrop.core.penalties import (
    FORGOTTEN_AFTER,
    KNOWN_FOR,
    NEVER,
    Strikes,
    add_failure,
    is_known,
    source_of,
)

NOW = datetime(2026, 11, 23, 2, 14, 7, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ROOM = 10


def fail(strikes: Strikes, *, now: datetime, room: int = ROOM, most_seconds: int = 600) -> Strikes:
    return add_failure(strikes, now=now, room=room, most_seconds=most_seconds)


def waits_of(failures: int, *, room: int = ROOM) -> list[int]:
    """Return the wait, in seconds, after each failure of somebody who sits every wait out."""
    strikes, now, waits = Strikes(), NOW, []
    for _ in range(failures):
        strikes = fail(strikes, now=now, room=room)
        waits.append(round((strikes.until - now) / SECOND) if strikes.until > now else 0)
        now = max(now, strikes.until)
    return waits


def test_waits_grow_after_the_free_failures() -> None:
    assert waits_of(23) == [0] * 10 + [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]


def test_a_known_source_has_ten_times_the_room() -> None:
    assert waits_of(103, room=10 * ROOM) == [0] * 100 + [1, 2, 4]


def test_the_wait_stays_the_longest_for_ever() -> None:
    strikes = Strikes(10**6, failed_at=NOW)
    assert fail(strikes, now=NOW).until == NOW + 600 * SECOND


def test_who_fails_while_waiting_does_not_wait_longer() -> None:
    waiting = Strikes(11, failed_at=NOW, until=NOW + SECOND)
    assert waiting.is_waiting(now=NOW)
    assert fail(waiting, now=NOW + SECOND / 2) == waiting
    assert not waiting.is_waiting(now=NOW + SECOND)
    assert fail(waiting, now=NOW + SECOND).until == NOW + 3 * SECOND


def test_an_hour_without_a_failure_forgets() -> None:
    strikes = Strikes(11, failed_at=NOW, until=NOW + 600 * SECOND)
    last = strikes.until + FORGOTTEN_AFTER
    assert not strikes.is_forgotten(now=last - SECOND)
    assert fail(strikes, now=last - SECOND).failures == 12
    assert strikes.is_forgotten(now=last)
    assert fail(strikes, now=last) == Strikes(1, failed_at=last)


def test_somebody_who_fails_once_an_hour_never_waits() -> None:
    strikes = Strikes()
    for hour in range(100):
        strikes = fail(strikes, now=NOW + hour * FORGOTTEN_AFTER)
        assert strikes.failures == 1


def test_a_clock_that_was_set_back_locks_nobody_out() -> None:
    strikes = Strikes(11, failed_at=NOW, until=NOW + 600 * SECOND)
    earlier = NOW - timedelta(days=365)
    assert not strikes.is_waiting(now=earlier)
    assert fail(strikes, now=earlier) == Strikes(1, failed_at=earlier)


@given(
    st.lists(st.integers(0, 5000), max_size=60),
    st.integers(1, 30),
    st.integers(1, 3600),
)
def test_nobody_ever_waits_longer_than_the_longest_wait(
    pauses: list[int], room: int, most_seconds: int
) -> None:
    strikes, now = Strikes(), NOW
    for number, pause in enumerate(pauses):
        now += pause * SECOND
        strikes = fail(strikes, now=now, room=room, most_seconds=most_seconds)
        assert strikes.until <= now + most_seconds * SECOND
        assert strikes.failures <= number + 1
        assert strikes.failures > room or not strikes.is_waiting(now=now)


def test_a_source_is_known_for_a_week() -> None:
    assert is_known(NOW, now=NOW)
    assert is_known(NOW, now=NOW + KNOWN_FOR - SECOND)
    assert not is_known(NOW, now=NOW + KNOWN_FOR)
    assert not is_known(NEVER, now=NOW)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("2001:DB8:0:1::", "2001:db8:0:1::/64"),
        ("2001:db8::", "2001:db8::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("192.0.2.07", "192.0.2.07"),
        ("an address", "an address"),
    ],
)
def test_a_source_stands_for_all_behind_an_address(address: str, source: str) -> None:
    assert source_of(address) == source


@given(st.ip_addresses(v=6).map(str), st.integers(0, 2**64 - 1))
def test_one_network_of_ipv6_is_one_source(address: str, host: int) -> None:
    place = IPv6Address(address)
    other = IPv6Address(int(place) >> 64 << 64 | host)
    assume(place.ipv4_mapped is None)
    assume(other.ipv4_mapped is None)
    assert source_of(str(other)) == source_of(address)
    assert place in IPv6Network(source_of(address))
