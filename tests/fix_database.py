# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL: one embedded server a run, one migrated template, a clone per worker."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from pytest_django import DjangoDbBlocker

from fix_home import run_directory
from nightdrop.config import load_config
from nightdrop.db.connections import owner_connection
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.roles import ADMIN, Role

TEMPLATE = "test_template"


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The run's embedded server, stopped by whichever worker leaves last."""
    with EmbeddedPostgres(load_config().home).attach() as server:
        yield server


@pytest.fixture(scope="session")
def django_db_setup(
    postgres: EmbeddedPostgres, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Point every connection of this worker at a clone of the migrated template."""
    name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        with (run_directory / "template.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _make_template(postgres)
            _run_admin(postgres, f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE}')
        _point_at(name)
        yield
        connections.close_all()


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """An empty database with real commits, as processes and races need it."""
    with django_db_blocker.unblock():
        yield
        for connection in connections.all():
            connection.close()
        _empty(connections["default"].settings_dict["NAME"])


def admin_connection(dbname: str) -> psycopg.Connection[tuple[object, ...]]:
    """Connect as the embedded server's superuser, whom row security does not bind."""
    server = EmbeddedPostgres(load_config().home)
    return psycopg.connect(server.conninfo(ADMIN, dbname=dbname), autocommit=True)


def _empty(name: str) -> None:
    with admin_connection(name) as admin:
        tables = admin.execute(
            "SELECT string_agg(format('%I', tablename), ', ') FROM pg_tables"
            " WHERE schemaname = 'public' AND tablename NOT IN"
            " ('django_migrations', 'django_content_type')"
        ).fetchone()
        assert tables is not None
        admin.execute(f"TRUNCATE {tables[0]} RESTART IDENTITY CASCADE".encode())


def _make_template(server: EmbeddedPostgres) -> None:
    with admin_connection("postgres") as admin:
        found = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE])
        if found.fetchone():
            return
        admin.execute(f"CREATE DATABASE {TEMPLATE} OWNER {Role.OWNER}".encode())
    with owner_connection(load_config()) as alias:
        connections[alias].settings_dict["NAME"] = TEMPLATE
        call_command("migrate", database=alias, verbosity=0, interactive=False)


def _run_admin(server: EmbeddedPostgres, statement: str) -> None:
    with admin_connection("postgres") as admin:
        admin.execute(statement.encode())


def _point_at(name: str) -> None:
    for alias in connections:
        connections[alias].close()
        connections[alias].settings_dict["NAME"] = name
