# SPDX-License-Identifier: Apache-2.0
"""When a checked delivery is loaded: at once, or in the district's own night."""

from datetime import UTC, datetime, time, timedelta, tzinfo


def next_night(now: datetime, *, zone: tzinfo, at: time) -> datetime:
    """Return the first moment after `now` at which the district's clock shows `at`.

    Units:   `now` and the result are aware, the result in UTC; `at` is the district's
             wall clock, to the minute.
    A time that daylight saving skips (02:30 in March) is taken an hour later by the
    clock, as `datetime` reads it; one that comes twice counts the first time only.
    """
    local = now.astimezone(zone)
    for days in range(3):
        day = local.date() + timedelta(days=days)
        moment = datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
        if moment > now:
            return moment
    raise AssertionError("a wall clock shows every minute within two days")
