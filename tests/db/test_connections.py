# SPDX-License-Identifier: Apache-2.0
"""A pool recovers when the database does."""

from threading import Barrier
from time import monotonic

from django.db import connection, connections

from fix_database import admin_connection
from fix_night import race
from nightdrop.db.access import drop_connections

KEPT = 6


def ask() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_dead_connections_of_a_pool_keep_nobody_waiting(database: None) -> None:
    """By itself it tries one after the other, with a second's rest after each."""
    together = Barrier(KEPT)

    def ask_and_keep() -> None:
        ask()
        together.wait(timeout=30)

    race(*[ask_and_keep] * KEPT)
    connections.close_all()
    with admin_connection(connection.settings_dict["NAME"]) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert len(ended) >= KEPT
    drop_connections()
    began = monotonic()
    ask()
    assert monotonic() - began < 1
