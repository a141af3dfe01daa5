# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime, timedelta

import pytest
import typer

from nightdrop.cli.printing import as_plain_text
from nightdrop.cli.since import read_since

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", NOW - timedelta(minutes=30)),
        (" 2h ", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T13:30", datetime(2026, 11, 22, 13, 30, tzinfo=UTC)),
        ("2026-11-22T13:30:05-05:00", datetime(2026, 11, 22, 18, 30, 5, tzinfo=UTC)),
        ("2026-11-22T13:30Z", datetime(2026, 11, 22, 13, 30, tzinfo=UTC)),
    ],
)
def test_ages_and_times_are_read(text: str, expected: datetime) -> None:
    assert read_since(text, now=NOW) == expected


def test_nothing_is_nothing() -> None:
    assert read_since(None, now=NOW) is None


@pytest.mark.parametrize(
    "text", ["", "h", "2", "2w", "-2h", "1.5h", "yesterday", "999999d", "9999999h", "2026-13-01",
             "0001-01-01T00:00+14:00"],
)  # fmt: skip
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="2h or 7d"):
        read_since(text, now=NOW)


@pytest.mark.parametrize("text", ["", "/upload/Ämter 2026.csv", "日本", "a\\b"])
def test_what_can_be_printed_is_printed(text: str) -> None:
    assert as_plain_text(text) == text


@pytest.mark.parametrize("text", ["\x1b[31m", "\x07", "a\rb", "a\nb", "\x9b", "\u202e", "\udc80"])
def test_what_a_terminal_would_obey_is_not(text: str) -> None:
    assert as_plain_text(text).isprintable()
    assert as_plain_text(text).isascii()
