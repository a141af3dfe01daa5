# SPDX-License-Identifier: Apache-2.0
"""How often periodic tasks come, in the words of the queue."""

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def write_cron(seconds: int) -> str:
    """Write an interval as a cron expression, whose sixth and last field is seconds.

    Cron counts anew with each minute, hour and day, so an interval that does not divide
    the next larger unit comes a little early there; it is never longer than `seconds`.
    """
    if seconds < _MINUTE:
        return f"* * * * * */{seconds}"
    if seconds < _HOUR:
        return f"*/{seconds // _MINUTE} * * * *"
    if seconds < _DAY:
        return f"0 */{seconds // _HOUR} * * *"
    return "0 0 * * *"
