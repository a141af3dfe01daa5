# SPDX-License-Identifier: Apache-2.0
"""The district's night, through daylight saving."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.core.delivery.schedule import next_night

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "night"),
    [
        # 01:00 in New York is 06:00 UTC in winter and 05:00 UTC in summer.
        ("2026-01-10 03:00", "2026-01-10 06:00"),
        ("2026-01-10 06:00", "2026-01-11 06:00"),
        ("2026-07-10 03:00", "2026-07-10 05:00"),
        # The clock goes forward on 2026-03-08 and back on 2026-11-01, both at 02:00.
        ("2026-03-07 12:00", "2026-03-08 06:00"),
        ("2026-03-08 12:00", "2026-03-09 05:00"),
        ("2026-10-31 12:00", "2026-11-01 05:00"),
        ("2026-11-01 12:00", "2026-11-02 06:00"),
    ],
)
def test_the_night_is_the_districts(now: str, night: str) -> None:
    assert next_night(at(now), zone=NEW_YORK, at=time(1)) == at(night)


def test_a_time_that_the_clock_skips_is_taken_an_hour_later() -> None:
    found = next_night(at("2026-03-08 05:00"), zone=NEW_YORK, at=time(2, 30))
    assert found.astimezone(NEW_YORK).isoformat() == "2026-03-08T03:30:00-04:00"


@given(
    now=st.datetimes(
        min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(2035, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    zone=st.sampled_from(["America/New_York", "Pacific/Apia", "Australia/Lord_Howe", "UTC"]),
    at=st.times().map(lambda found: found.replace(second=0, microsecond=0)),
)
def test_the_night_is_ahead_and_within_two_days(now: datetime, zone: str, at: time) -> None:
    found = next_night(now, zone=ZoneInfo(zone), at=at)
    assert 0 < (found - now).total_seconds() <= 49 * 3600
