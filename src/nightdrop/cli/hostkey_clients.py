# SPDX-License-Identifier: Apache-2.0
"""The part of `nightdrop hostkey retire` that asks the database: whom to tell."""

from datetime import UTC, datetime, timedelta
from typing import Final

import typer

from nightdrop.cli.printing import print_table
from nightdrop.cli.session import open_database
from nightdrop.services.hostkeys import Client, find_clients

#: Who has not logged in for so long has left, or will have to be helped anyway.
_LOOK_BACK: Final = timedelta(days=400)


def print_clients(context: typer.Context, host_key: str, *, next_key: str) -> None:
    """Print the clients that met a host key at their last login and do not know the next."""
    open_database(context)
    since = datetime.now(UTC) - _LOOK_BACK
    clients = find_clients(host_key, next_key=next_key, since=since)
    surprised = [client for client in clients if not client.knows_next]
    typer.echo(f"clients that know the next key: {len(clients) - len(surprised)}")
    if not surprised:
        typer.echo("nobody has to be told")
        return
    districts = len({client.username for client in surprised})
    typer.echo(
        f"clients that have to learn it or be told: {len(surprised)} (districts: {districts})"
    )
    print_table(
        ("DISTRICT", "CLIENT", "LAST LOGIN", "ITS KEY"),
        [
            (client.username, _program(client), f"{client.last_at:%Y-%m-%d}", client.fingerprint)
            for client in surprised
        ],
    )


def _program(client: Client) -> str | None:
    return client.version.removeprefix("SSH-2.0-") if client.version else None
