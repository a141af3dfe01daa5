# SPDX-License-Identifier: Apache-2.0
"""The roles that Nightdrop has in its database, and how they are made."""

from enum import StrEnum
from pathlib import Path
from typing import Final

#: The one database.
DATABASE: Final = "nightdrop"
#: The superuser of the embedded PostgreSQL; an external one has its own.
ADMIN: Final = "nightdrop_admin"

_SQL: Final = Path(__file__).parent / "sql"


class Role(StrEnum):
    """Who Nightdrop is to PostgreSQL. No role is a superuser or passes by row security."""

    #: Owns the tables: migrations and backups only.
    OWNER = "nightdrop_owner"
    #: Sees one district at a time: SFTP, the district console, the jobs.
    APP = "nightdrop_app"
    #: Sees every district, by policies of its own: operator commands and the scan.
    OPERATOR = "nightdrop_operator"


def roles_sql() -> str:
    """Return the statement that makes the missing roles."""
    return _SQL.joinpath("roles.sql").read_text("utf-8")


def database_sql() -> str:
    """Return the statement that makes the database; not for inside a transaction."""
    return f"CREATE DATABASE {DATABASE} OWNER {Role.OWNER} TEMPLATE template0 ENCODING 'UTF8'"


def database_grants_sql() -> str:
    """Return the statements that close the database to everybody else."""
    return _SQL.joinpath("database_grants.sql").read_text("utf-8")


def print_roles_sql() -> str:
    """Return a script for psql that prepares an external database, to be run once."""
    passwords = "\n".join(f"\\password {role}" for role in Role)
    return f"""\
-- Run this with psql, connected as a role that may make roles and databases.
{roles_sql()}
-- Each role needs a password of its own; psql asks for them.
{passwords}

-- Whoever is no superuser must be a member of a role to make a database for it.
GRANT {Role.OWNER} TO CURRENT_USER;
{database_sql()};

{database_grants_sql()}"""
