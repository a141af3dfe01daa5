# SPDX-License-Identifier: Apache-2.0
"""`nightdrop audit`: everything that happened in an account."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import typer

from nightdrop.cli.printing import as_plain_text
from nightdrop.cli.session import open_database
from nightdrop.cli.since import SINCE_HELP, read_since
from nightdrop.core.events import EventKind
from nightdrop.db.access import find_district
from nightdrop.services.audit import AuditedEvent, list_events

app = typer.Typer(add_completion=False)

#: Time, kind, address, and what happened: lines are printed as they come.
_LINE = "{:<19}  {:<20}  {:<15}  {}"


@app.command()
def audit(
    context: typer.Context,
    username: str,
    since: str | None = typer.Option(None, help=SINCE_HELP),
    kind: EventKind | None = typer.Option(None, help="Only events of this kind."),
    limit: int = typer.Option(100, min=1, help="At most so many events."),
    for_scripts: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """See everything that happened in an account, newest first.

    Example: nightdrop audit applegrove.org --since 7d --kind file-removed
    """
    earliest = read_since(since, now=datetime.now(UTC))
    open_database(context)
    district = find_district(username).id
    found = list_events(district, since=earliest, kind=kind and kind.value, limit=limit)
    if for_scripts:
        _print_json(found)
        return
    typer.echo(_LINE.format("WHEN (UTC)", "KIND", "FROM", "WHAT"))
    for event in found:
        line = _LINE.format(
            f"{event.at:%Y-%m-%d %H:%M:%S}", event.kind, event.address or "", event.sentence
        )
        typer.echo(as_plain_text(line))


def _print_json(events: Iterable[AuditedEvent]) -> None:
    """Print one JSON document, an event a line, as they come."""
    before = "["
    for event in events:
        typer.echo(f"{before}\n{json.dumps(_facts(event))}", nl=False)
        before = ","
    typer.echo("[]" if before == "[" else "\n]")


def _facts(event: AuditedEvent) -> dict[str, object]:
    return {
        "id": str(event.id),
        "at": event.at.isoformat(),
        "kind": event.kind,
        "session": str(event.session) if event.session else None,
        "address": event.address,
        "facts": event.facts,
    }
