# SPDX-License-Identifier: Apache-2.0
"""What every command that needs the database does first."""

import logging

import typer

from nightdrop.cli.migrate import ensure_migrated
from nightdrop.cli.printing import print_json, print_table
from nightdrop.cli.privileges import prepare_places
from nightdrop.config import Config, load_config
from nightdrop.db.embedded import EmbeddedPostgres

__all__ = ["open_database", "print_json", "print_table"]


def open_database(context: typer.Context) -> Config:
    """Make the database reachable for as long as this command runs.

    The embedded PostgreSQL is started when nobody has it running, and stopped again by
    whoever leaves last. A database that this version has not prepared is prepared when it
    is our own and refused when it is not.
    """
    config = load_config()
    # A database that is away is told in one line, by whoever asked for it.
    logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
    prepare_places(config)
    if config.is_embedded:
        context.with_resource(EmbeddedPostgres(config.home).attach())
    ensure_migrated(config)
    return config
