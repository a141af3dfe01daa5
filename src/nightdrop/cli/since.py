# SPDX-License-Identifier: Apache-2.0
"""How `--since` is written, wherever a command has it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

SINCE_HELP: Final = "Not what is older than this: 30m, 2h, 7d, or a time such as 2026-11-23T02:00."

_AGE: Final = re.compile(r"(\d{1,6})([mhd])")
_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def read_since(text: str | None, *, now: datetime) -> datetime | None:
    """Read a time or an age; a time that names no zone is in UTC, as all that is shown.

    Raises:  typer.BadParameter.
    """
    if text is None:
        return None
    try:
        if age := _AGE.fullmatch(text.strip()):
            return now - int(age[1]) * _UNITS[age[2]]
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "give an age such as 2h or 7d, or a time such as 2026-11-23T02:00",
            param_hint="--since",
        ) from None
