# SPDX-License-Identifier: Apache-2.0
"""`nightdrop key`: install, list and revoke the keys of an account."""

import sys
from datetime import UTC, date, datetime, time
from pathlib import Path
from uuid import uuid4

import typer

from nightdrop.cli.errors import explain_key_warning
from nightdrop.cli.refusals import UnreadableFile
from nightdrop.cli.session import open_database, print_json, print_table
from nightdrop.db.access import find_district
from nightdrop.db.models import AccountKey
from nightdrop.services import keys

#: Larger than any key file; more is some other file.
LARGEST_KEY_FILE = 1 << 20

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def group() -> None:
    """Install, list and revoke keys.

    Example: nightdrop key add applegrove.org id_ed25519.pub --label "SIS server"
    """


@app.command()
def add(
    context: typer.Context,
    username: str,
    file: str = typer.Argument(help="A file with a public key; - reads standard input."),
    label: str | None = typer.Option(None, help="What the key is for; its comment otherwise."),
    expires: str | None = typer.Option(None, help="Last day on which it works, YYYY-MM-DD."),
    networks: list[str] = typer.Option([], "--from", help="Network it may be used from (CIDR)."),
) -> None:
    """Install a public key; it works within a second.

    Example: ssh-keygen -y -f id_ed25519 | nightdrop key add applegrove.org -
    """
    text = _read(file)
    open_database(context)
    district = find_district(username)
    installed = keys.add_key(
        district.id,
        key_id=uuid4(),
        text=text,
        label=label,
        expires_at=_end_of(expires),
        networks=tuple(networks),
        now=datetime.now(UTC),
    )
    row = installed.row
    typer.echo(f"{row.type} {row.bits} {row.fingerprint} is installed for {district.username}")
    for warning in installed.warnings:
        typer.echo(f"note: {explain_key_warning(warning)}", err=True)


@app.command("list")
def list_all(
    context: typer.Context,
    username: str,
    as_json: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """List an account's keys.

    Example: nightdrop key list applegrove.org --json
    """
    open_database(context)
    found = keys.list_keys(find_district(username).id)
    if as_json:
        print_json([_facts(key) for key in found])
        return
    print_table(
        ("FINGERPRINT", "TYPE", "LABEL", "EXPIRES", "LAST USED"),
        [(k.fingerprint, k.type, k.label, _day(k.expires_at), _day(k.last_used_at)) for k in found],
    )


@app.command()
def revoke(context: typer.Context, username: str, fingerprint: str) -> None:
    """Take a key off an account; it stops working within a second.

    Example: nightdrop key revoke applegrove.org SHA256:8vG...
    """
    open_database(context)
    district = find_district(username)
    keys.revoke_key(district.id, fingerprint, now=datetime.now(UTC))
    typer.echo(f"{fingerprint} is revoked")


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(LARGEST_KEY_FILE)
    try:
        with Path(file).open("rb") as source:
            return source.read(LARGEST_KEY_FILE)
    except OSError as error:
        raise UnreadableFile(file, why=error.strerror or "cannot be read") from None


def _end_of(day: str | None) -> datetime | None:
    if day is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(day), time.max, tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter("give a day such as 2027-06-30", param_hint="--expires") from None


def _facts(key: AccountKey) -> dict[str, object]:
    return {
        "fingerprint": key.fingerprint,
        "type": key.type,
        "bits": key.bits,
        "label": key.label,
        "expires_at": key.expires_at,
        "networks": key.networks,
        "added_at": key.added_at,
        "last_used_at": key.last_used_at,
    }


def _day(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else None
