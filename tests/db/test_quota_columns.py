# SPDX-License-Identifier: Apache-2.0
"""The step that brought quotas, forth and back, on a database that has districts."""

import os
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import connections

from fix_database import TEMPLATE, admin_connection
from nightdrop.config import load_config
from nightdrop.db.connections import owner_connection
from nightdrop.db.roles import Role

BEFORE = "0002_row_security"
Row = tuple[object, ...]


@pytest.fixture
def scratch_database(database: None) -> Iterator[str]:
    """A copy of the template, which is removed after the test."""
    name = f"test_steps_{os.getpid()}"
    with admin_connection("postgres") as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {Role.OWNER}".encode())
    yield name
    with admin_connection("postgres") as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def migrate(name: str, target: str) -> None:
    with owner_connection(load_config()) as alias:
        connections[alias].settings_dict["NAME"] = name
        call_command("migrate", "db", target, database=alias, verbosity=0, interactive=False)
        connections[alias].close()


def add_district(name: str, username: str) -> UUID:
    district = uuid4()
    with admin_connection(name) as admin:
        admin.execute(
            "INSERT INTO district (id, username, name, time_zone, mode)"
            " VALUES (%s, %s, 'x', 'UTC', 'immediate')",
            [district, username],
        )
    return district


def snapshot(name: str) -> list[Row]:
    with admin_connection(name) as admin:
        admin.execute("SET ROLE nightdrop_app")
        return admin.execute("SELECT * FROM nightdrop_key_snapshot()").fetchall()


def test_districts_of_before_have_what_all_have(scratch_database: str) -> None:
    migrate(scratch_database, BEFORE)
    apple = add_district(scratch_database, "applegrove.org")
    (row,) = snapshot(scratch_database)
    assert (row[0], len(row)) == (apple, 8)
    migrate(scratch_database, "0003_quotas")
    assert snapshot(scratch_database) == [(*row, None, None)]
    with admin_connection(scratch_database) as admin:
        admin.execute("UPDATE district SET quota_bytes = 50, quota_files = 7")
    assert snapshot(scratch_database) == [(*row, 50, 7)]
    migrate(scratch_database, BEFORE)
    assert snapshot(scratch_database) == [row]


def test_a_change_of_a_quota_wakes_the_sftp_servers(scratch_database: str) -> None:
    add_district(scratch_database, "applegrove.org")
    with admin_connection(scratch_database) as listener, admin_connection(scratch_database) as two:
        listener.execute("LISTEN nightdrop_keys")
        for change in (
            b"UPDATE district SET quota_bytes = 5",
            b"UPDATE district SET quota_files = 5",
            b"UPDATE district SET suspended_at = now()",
        ):
            two.execute(change)
            assert len(list(listener.notifies(timeout=10, stop_after=1))) == 1
        two.execute("UPDATE district SET name = 'y'")
        assert list(listener.notifies(timeout=0.2, stop_after=1)) == []
