# SPDX-License-Identifier: Apache-2.0
"""`nightdrop district`: make districts and change them."""

from datetime import UTC, datetime, time
from enum import StrEnum
from typing import Final
from uuid import uuid4

import typer

from nightdrop.cli.session import open_database, print_json, print_table
from nightdrop.config import Config
from nightdrop.core.quota import choose_quota, write_size
from nightdrop.db.access import all_districts, find_district
from nightdrop.db.models import District
from nightdrop.services import districts
from nightdrop.storage.errors import NoSuchDistrict
from nightdrop.storage.tree import Tree
from nightdrop.storage.usage import look_at_usage

#: What takes a district's own quota away.
_DEFAULT: Final = "default"
#: Beyond it nobody means a quota.
_MOST: Final = 100_000_000

app = typer.Typer(no_args_is_help=True, add_completion=False)


class Mode(StrEnum):
    """When deliveries are loaded."""

    IMMEDIATE = "immediate"
    NIGHTLY = "nightly"


@app.callback()
def group() -> None:
    """Make districts and change them.

    Example: nightdrop district add applegrove.org --name "Apple Grove Schools"
    """


@app.command()
def add(
    context: typer.Context,
    username: str = typer.Argument(help="User name of the account, usually its domain."),
    name: str | None = typer.Option(None, help="Name of the district, for people."),
    time_zone: str = typer.Option("UTC", "--time-zone", help="Such as America/New_York."),
    mode: Mode = typer.Option(Mode.IMMEDIATE, help="When deliveries are loaded."),
    nightly_at: str | None = typer.Option(None, "--nightly-at", help="Local time, HH:MM."),
) -> None:
    """Make a district and its account.

    Example: nightdrop district add applegrove.org --time-zone America/New_York
    """
    config = open_database(context)
    made = districts.add_district(
        username,
        district=uuid4(),
        name=name,
        time_zone=time_zone,
        nightly_at=_read_time(nightly_at),
        is_nightly=mode is Mode.NIGHTLY,
        tree=Tree(config.tree),
    )
    typer.echo(f"district {made.username} is made")
    typer.echo(f"next: nightdrop key add {made.username} FILE")


@app.command("list")
def list_all(
    context: typer.Context, as_json: bool = typer.Option(False, "--json", help="For scripts.")
) -> None:
    """List all districts.

    Example: nightdrop district list --json
    """
    open_database(context)
    found = all_districts()
    if as_json:
        print_json([_facts(district) for district in found])
        return
    print_table(
        ("USER NAME", "NAME", "MODE", "TIME ZONE", "STATE"),
        [(d.username, d.name, _mode(d), d.time_zone, _state(d)) for d in found],
    )


@app.command()
def show(
    context: typer.Context,
    username: str,
    as_json: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """Show one district.

    Example: nightdrop district show applegrove.org
    """
    config = open_database(context)
    found = find_district(username)
    facts = _facts(found) | _quota_facts(found, config)
    if as_json:
        print_json(facts)
        return
    print_table(("WHAT", "VALUE"), list(facts.items()))


@app.command("set")
def change(
    context: typer.Context,
    username: str,
    quota_gib: str | None = typer.Option(
        None, help="GiB it may have in /upload; default for what NIGHTDROP_QUOTA_GIB says."
    ),
    quota_files: str | None = typer.Option(
        None, help="Files it may have in /upload; default for what NIGHTDROP_QUOTA_FILES says."
    ),
    as_json: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """Change what a district may have in /upload; open sessions notice at once.

    Example: nightdrop district set applegrove.org --quota-gib 200 --quota-files default
    """
    changes: dict[districts.Quota, int | None] = {}
    if quota_gib is not None:
        gib = _read_quota(quota_gib, "--quota-gib")
        changes[districts.Quota.BYTES] = None if gib is None else gib * 2**30
    if quota_files is not None:
        changes[districts.Quota.FILES] = _read_quota(quota_files, "--quota-files")
    if not changes:
        raise typer.BadParameter("say what to change: --quota-gib or --quota-files")
    config = open_database(context)
    found = districts.set_quota(username, changes)
    if as_json:
        print_json(_facts(found) | _quota_facts(found, config))
        return
    quota = choose_quota(found.quota_bytes, found.quota_files, default=config.quota)
    typer.echo(
        f"district {found.username} may have {write_size(quota.size_bytes)} in {quota.files:,}"
        " files in /upload"
    )


@app.command()
def suspend(context: typer.Context, username: str) -> None:
    """Keep a district from logging in; nothing of its is changed.

    Example: nightdrop district suspend applegrove.org
    """
    open_database(context)
    district = districts.suspend_district(username, now=datetime.now(UTC))
    typer.echo(f"district {district.username} is suspended")


@app.command()
def resume(context: typer.Context, username: str) -> None:
    """Let a suspended district log in again.

    Example: nightdrop district resume applegrove.org
    """
    open_database(context)
    district = districts.suspend_district(username, now=None)
    typer.echo(f"district {district.username} may log in again")


def _read_time(text: str | None) -> time | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%H:%M").replace(tzinfo=UTC).time()
    except ValueError:
        raise typer.BadParameter(
            "give a time of day such as 02:30", param_hint="--nightly-at"
        ) from None


def _read_quota(text: str, option: str) -> int | None:
    if text == _DEFAULT:
        return None
    if text.isascii() and text.isdigit() and 0 < int(text) <= _MOST:
        return int(text)
    raise typer.BadParameter(f"give a number from 1 to {_MOST:,}, or default", param_hint=option)


def _quota_facts(district: District, config: Config) -> dict[str, object]:
    """Return what it may have and what it has; nothing of the latter if it cannot be read."""
    quota = choose_quota(district.quota_bytes, district.quota_files, default=config.quota)
    facts: dict[str, object] = {"quota_bytes": quota.size_bytes, "quota_files": quota.files}
    try:
        usage = look_at_usage(Tree(config.tree).district(district.id).place)
    except (OSError, NoSuchDistrict):
        return facts
    used = usage.count_against(quota)
    return facts | {
        "used_bytes": used.size_bytes,
        "used_files": used.files,
        "sealed_bytes": usage.sealed.size_bytes,
        "sealed_files": usage.sealed.files,
    }


def _facts(district: District) -> dict[str, object]:
    return {
        "id": district.id,
        "username": district.username,
        "name": district.name,
        "time_zone": district.time_zone,
        "mode": district.mode,
        "nightly_at": f"{district.nightly_at:%H:%M}" if district.nightly_at else None,
        "suspended_at": district.suspended_at,
        "created_at": district.created_at,
    }


def _mode(district: District) -> str:
    at = f" at {district.nightly_at:%H:%M}" if district.nightly_at else ""
    return f"{district.mode}{at}"


def _state(district: District) -> str:
    return "suspended" if district.suspended_at else "active"
