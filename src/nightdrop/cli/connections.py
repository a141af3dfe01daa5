# SPDX-License-Identifier: Apache-2.0
"""`nightdrop connections`: who tried to log in, and why it failed."""

from collections.abc import Iterator
from datetime import UTC, datetime

import typer

from nightdrop.cli.session import open_database, print_json, print_table
from nightdrop.cli.since import SINCE_HELP, read_since
from nightdrop.db.access import find_district
from nightdrop.services.attempts import Attempt, explain_refusal, list_attempts

app = typer.Typer(add_completion=False)


@app.command()
def connections(
    context: typer.Context,
    username: str,
    since: str | None = typer.Option(None, help=SINCE_HELP),
    limit: int = typer.Option(20, min=1, max=1000, help="At most so many connections."),
    for_scripts: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """See who tried to log in to an account, newest first, and why it failed.

    An attempt is shown a second or two after it was made.

    Example: nightdrop connections applegrove.org --since 2h
    """
    earliest = read_since(since, now=datetime.now(UTC))
    open_database(context)
    found = list_attempts(find_district(username).id, since=earliest, limit=limit)
    if for_scripts:
        print_json([_facts(attempt) for attempt in found])
        return
    print_table(
        ("WHEN (UTC)", "FROM", "CLIENT", "UNTIL", "KEY", "WHAT CAME OF IT"),
        [row for attempt in found for row in _rows(attempt)],
    )


def _rows(attempt: Attempt) -> Iterator[tuple[str | None, ...]]:
    """Yield a row for each key that was tried, the first with what all of them share."""
    results = [
        (key.fingerprint, explain_refusal(key.reason) if key.reason else "Logged in.")
        for key in attempt.keys
    ]
    if not results or (attempt.is_accepted and attempt.reason):
        results.append(("", attempt.sentence))
    shared = (_show(attempt.at), attempt.address, attempt.client, _show(attempt.ended_at))
    for result in results:
        yield (*shared, *result)
        shared = ("", "", "", "")


def _show(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else ""


def _facts(attempt: Attempt) -> dict[str, object]:
    return {
        "connection": attempt.connection,
        "at": attempt.at,
        "username": attempt.username,
        "address": attempt.address,
        "client": attempt.client,
        "accepted": attempt.is_accepted,
        "reason": attempt.reason,
        "explanation": attempt.sentence,
        "keys": [
            {"fingerprint": key.fingerprint, "type": key.type, "reason": key.reason}
            for key in attempt.keys
        ],
        "algorithms": dict(attempt.algorithms),
        "ended_at": attempt.ended_at,
        "ending": attempt.ending,
    }
