# SPDX-License-Identifier: Apache-2.0
"""How a role reaches the database, embedded or a customer's own."""

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from nightdrop.config import Config
from nightdrop.db.embedded import EmbeddedPostgres, connection_params
from nightdrop.db.embedded_refusals import RoleUrlMissing
from nightdrop.db.roles import ADMIN, Role, print_roles_sql

URL = "postgresql://app:s%40cret@db.example.org:6432/roster?sslmode=require"


def test_an_embedded_role_is_reached_through_the_socket(tmp_path: Path) -> None:
    params = connection_params(Config(home=tmp_path), Role.APP)
    assert conninfo_to_dict(params.conninfo()) == {
        "host": str(EmbeddedPostgres(tmp_path).places.socket_directory),
        "port": "5432",
        "user": "nightdrop_app",
        "dbname": "nightdrop",
    }


def test_a_url_is_taken_apart_for_django() -> None:
    params = connection_params(Config(database_url=URL), Role.APP)
    assert params.django() == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "roster",
        "USER": "app",
        "PASSWORD": "s@cret",
        "HOST": "db.example.org",
        "PORT": "6432",
        "OPTIONS": {"sslmode": "require"},
    }
    assert "cret" not in repr(params)


def test_the_setting_that_a_role_lacks_is_named() -> None:
    with pytest.raises(RoleUrlMissing) as refused:
        connection_params(Config(database_url=URL), Role.OWNER)
    assert refused.value.variable == "NIGHTDROP_DATABASE_OWNER_URL"


def test_the_printed_script_prepares_a_database(server: EmbeddedPostgres) -> None:
    """Run it on a server that has none of the roles; psql's own commands are left out."""
    with server.attach():
        with psycopg.connect(server.conninfo(ADMIN, dbname="postgres"), autocommit=True) as admin:
            admin.execute("DROP DATABASE nightdrop")
            for role in Role:
                admin.execute(f"DROP ROLE {role}".encode())
            script = [
                line for line in print_roles_sql().splitlines() if line[:1] not in {"\\", "-"}
            ]
            for statement in _statements("\n".join(script)):
                admin.execute(statement.encode())
        for role in Role:
            with psycopg.connect(server.conninfo(role)) as connection:
                assert connection.execute("SELECT current_user").fetchone() == (str(role),)


def _statements(script: str) -> list[str]:
    """Split as psql does; the one body with semicolons is quoted by dollars."""
    head, body, tail = script.split("$$")
    return [f"{head}$${body}$$", *(part for part in tail.split(";")[1:] if part.strip())]
