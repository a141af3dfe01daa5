# SPDX-License-Identifier: Apache-2.0
"""`nightdrop migrate`: bring the database to this version, as the role that owns it."""

from typing import ClassVar, Final

import typer
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from nightdrop.config import Config, load_config
from nightdrop.core.errors import Refusal
from nightdrop.db.connections import owner_connection
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.roles import print_roles_sql

_LOCK: Final = "SELECT pg_advisory_lock(hashtextextended('nightdrop migrate', 0))"

app = typer.Typer(add_completion=False)


class DatabaseNotPrepared(Refusal):
    """The database was not brought to this version, and is not ours to bring there unasked."""

    code: ClassVar[str] = "database-not-prepared"


@app.command("migrate")
def migrate(
    context: typer.Context,
    print_roles: bool = typer.Option(
        False, "--print-roles", help="Print the SQL that makes the roles, and change nothing."
    ),
) -> None:
    """Bring the database to this version. Safe to run again.

    Example: nightdrop migrate --print-roles
    """
    if print_roles:
        typer.echo(print_roles_sql())
        return
    config = load_config()
    if config.is_embedded:
        context.with_resource(EmbeddedPostgres(config.home).attach())
    run_migrate(config)
    typer.echo("nightdrop: the database is at this version")


def run_migrate(config: Config) -> None:
    """Run every migration that has not run. Raises RoleUrlMissing, OperationalError."""
    with owner_connection(config) as owner, connections[owner].cursor() as cursor:
        # Several nodes may start at once: one migrates, the others wait and find it done.
        cursor.execute(_LOCK)
        call_command("migrate", database=owner, verbosity=0, interactive=False)


def ensure_migrated(config: Config) -> None:
    """See that the database is at this version; the embedded one is brought there.

    Raises:  DatabaseNotPrepared, for a database of one's own.
    """
    executor = MigrationExecutor(connections["default"])
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    if not config.is_embedded:
        raise DatabaseNotPrepared
    run_migrate(config)
