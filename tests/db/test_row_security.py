# SPDX-License-Identifier: Apache-2.0
"""The database itself keeps districts apart, whatever a query says.

The tables are found in the catalogue: one that is added later is tested, too.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import ProgrammingError, connection, connections, transaction
from django.utils.connection import ConnectionDoesNotExist
from psycopg import sql
from psycopg.types.json import Jsonb

from fix_database import admin_connection
from nightdrop.config import load_config
from nightdrop.core.delivery.machine import State
from nightdrop.db.access import OPERATOR, in_district, known_deliveries
from nightdrop.db.connections import OWNER, owner_connection
from nightdrop.db.models import Delivery, District
from nightdrop.db.roles import Role

SERVING = (Role.APP, Role.OPERATOR)
NOW = datetime(2026, 9, 28, 2, 14, tzinfo=UTC)

#: A value of each type, for columns that must have one.
VALUES: Mapping[str, Callable[[], Any]] = {
    "uuid": uuid4,
    "text": lambda: "x",
    "varchar": lambda: "x",
    "int4": lambda: 1,
    "int8": lambda: 1,
    "bool": lambda: False,
    "date": lambda: date(2015, 3, 4),
    "time": lambda: time(2, 30),
    "timestamptz": lambda: NOW,
    "jsonb": lambda: Jsonb({}),
    "bytea": lambda: b"x",
    "_text": list[str],
    "_varchar": list[str],
}

DISTRICT_COLUMNS = """
    SELECT c.relname, a.attname, c.relrowsecurity, r.rolname
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
    JOIN pg_roles r ON r.oid = c.relowner
    JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND a.attnum > 0
    WHERE c.relkind IN ('r', 'p') AND (
        a.attname ~ '^district(_id)?$'
        OR (c.relname = 'district' AND a.attname = 'id')
        OR EXISTS (
            SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f'
            AND k.confrelid = 'public.district'::regclass AND a.attnum = ANY (k.conkey)
        )
    )
    ORDER BY c.relname
"""
REQUIRED_COLUMNS = """
    SELECT a.attname, t.typname
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attnotnull AND a.attidentity = ''
    ORDER BY a.attnum
"""


class Owned:
    """The tables of districts, with one row of each of two districts in each."""

    def __init__(self, admin: "psycopg.Connection[Any]", apple: UUID, birch: UUID) -> None:
        self.admin, self.apple, self.birch = admin, apple, birch
        found = admin.execute(DISTRICT_COLUMNS).fetchall()
        self.columns = {table: column for table, column, _, _ in found}
        self.deliveries = {apple: uuid4(), birch: uuid4()}

    def values(self, table: str, district: UUID) -> dict[str, Any]:
        """Make up a row of a district."""
        required = self.admin.execute(REQUIRED_COLUMNS, [f'"{table}"']).fetchall()
        row = {name: VALUES[type_]() for name, type_ in required}
        known = {
            self.columns[table]: district,
            "delivery_id": self.deliveries[district],
            "username": f"x{uuid4().hex}",
            "state": State.SEALED,
        }
        return (
            row
            | {name: value for name, value in known.items() if name in row}
            | {self.columns[table]: district}
        )

    def fill(self) -> None:
        """Put a row of each district into each table but `district`, which has them."""
        for district, delivery in self.deliveries.items():
            self.insert("delivery", self.values("delivery", district) | {"id": delivery})
            for table in self.columns.keys() - {"delivery", "district"}:
                self.insert(table, self.values(table, district))

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        self.admin.execute(insert_statement(table, row), row)

    def count(self, table: str, district: UUID) -> int:
        """Count a district's rows as nobody's role."""
        return count(self.admin, table, self.columns[table], district)


def insert_statement(table: str, row: Mapping[str, Any]) -> sql.Composed:
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.Placeholder, row)),
    )


def count(raw: Any, table: str, column: str, district: UUID) -> int:  # noqa: ANN401 - two kinds
    statement = sql.SQL("SELECT count(*) FROM {} WHERE {} = %s").format(
        sql.Identifier(table), sql.Identifier(column)
    )
    found: tuple[int] = raw.execute(statement, [district]).fetchone()
    return found[0]


def run(statement: sql.Composed, values: Any = None, *, alias: str = "default") -> int:  # noqa: ANN401
    """Run a statement as a serving role; return how many rows it saw or touched."""
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def select(table: str) -> sql.Composed:
    return sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))


@pytest.fixture
def owned(apple: District, birch: District) -> Iterator[Owned]:
    """Every table of districts, with rows."""
    with admin_connection(connection.settings_dict["NAME"]) as admin:
        made = Owned(admin, apple.id, birch.id)
        made.fill()
        yield made


def test_the_catalogue_is_read_rightly(owned: Owned) -> None:
    """What is known to be there, so that a wrong query does not find nothing and pass."""
    assert owned.columns.keys() >= {
        "account_key",
        "audit_event",
        "change",
        "delivery",
        "district",
        "finding",
        "guardian",
        "student",
        "transition",
    }
    for table in owned.columns:
        assert owned.count(table, owned.apple) == owned.count(table, owned.birch) == 1, table


def test_every_table_of_districts_has_row_security(owned: Owned) -> None:
    found = owned.admin.execute(DISTRICT_COLUMNS).fetchall()
    assert [table for table, _, is_secured, _ in found if not is_secured] == []


def test_policies_name_their_role_and_no_other(owned: Owned) -> None:
    policies = owned.admin.execute(
        "SELECT tablename, policyname, roles::text[], cmd FROM pg_policies ORDER BY 1, 2"
    ).fetchall()
    expected = [
        (table, name, [role], "ALL")
        for table in sorted(owned.columns)
        for name, role in (("district", Role.APP), ("operator", Role.OPERATOR))
    ]
    extra = ("audit_event", "without_district", [Role.APP], "INSERT")
    assert policies == sorted([*expected, extra])


def test_without_a_district_nothing_is_seen(owned: Owned) -> None:
    for table in owned.columns:
        assert run(select(table)) == 0, table
        with transaction.atomic():
            assert run(select(table)) == 0, table


def test_a_connection_that_served_a_district_sees_nothing_after(owned: Owned) -> None:
    """The setting stays behind as an empty text, on the same connection of a pool."""
    with in_district(owned.apple):
        assert run(select("student")) == 1
    for table in owned.columns:
        assert run(select(table)) == 0, table


def test_in_a_district_its_own_rows_are_seen_and_no_others(owned: Owned) -> None:
    for table, column in owned.columns.items():
        for district, other in ((owned.apple, owned.birch), (owned.birch, owned.apple)):
            with in_district(district), connection.cursor() as cursor:
                assert run(select(table)) == 1, table
                assert count(cursor.connection, table, column, district) == 1, table
                assert count(cursor.connection, table, column, other) == 0, table


def test_no_row_can_be_put_into_another_district(owned: Owned) -> None:
    for table in owned.columns:
        row = owned.values(table, owned.birch)
        with pytest.raises(ProgrammingError) as refusal, in_district(owned.apple):
            run(insert_statement(table, row), row)
        assert refused_by_rule(refusal.value), table
        with pytest.raises(ProgrammingError) as refusal, transaction.atomic():
            run(insert_statement(table, row), row)
        assert refused_by_rule(refusal.value), table


def test_no_row_can_be_moved_into_another_district(owned: Owned) -> None:
    for table, column in owned.columns.items():
        statement = sql.SQL("UPDATE {} SET {} = %s").format(
            sql.Identifier(table), sql.Identifier(column)
        )
        with pytest.raises(ProgrammingError) as refusal, in_district(owned.apple):
            run(statement, [owned.birch])
        assert refused_by_rule(refusal.value), table


def refused_by_rule(error: ProgrammingError) -> bool:
    """Tell whether row security or a missing privilege refused, and not a constraint."""
    return isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege)


def touched_or_refused(statement: sql.Composed, owned: Owned) -> int:
    """Run a statement about Birch Hill as Apple Grove; return how many rows it touched."""
    try:
        with in_district(owned.apple):
            return run(statement, [owned.birch])
    except ProgrammingError as error:
        if refused_by_rule(error):
            return 0
        raise


def test_another_districts_rows_are_not_touched(owned: Owned) -> None:
    for table, column in owned.columns.items():
        named = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
        for text in (
            "UPDATE {table} SET {column} = {column} WHERE {column} = %s",
            "DELETE FROM {table} WHERE {column} = %s",
        ):
            assert touched_or_refused(sql.SQL(text).format(**named), owned) == 0, table
        assert owned.count(table, owned.birch) == 1, table


def test_an_upsert_does_not_reach_another_districts_row(owned: Owned) -> None:
    """Keys that clash across districts are refused; they neither change nor show the other."""
    row = owned.values("delivery", owned.apple) | {"id": owned.deliveries[owned.birch]}
    statement = insert_statement("delivery", row)
    change = sql.SQL(" ON CONFLICT (id) DO UPDATE SET epoch = 'stolen' RETURNING epoch")
    with pytest.raises(ProgrammingError) as refusal, in_district(owned.apple):
        run(statement + change, row)
    assert refused_by_rule(refusal.value)
    with in_district(owned.birch):
        assert Delivery.objects.get().epoch == "x"


def test_copy_does_not_go_around(owned: Owned) -> None:
    for table in owned.columns:
        statement = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(table))
        with connection.cursor() as cursor, cursor.connection.cursor().copy(statement) as copy:
            assert list(copy) == [], table


def test_the_operators_alias_sees_all_districts(owned: Owned) -> None:
    for table in owned.columns:
        assert run(select(table), alias=OPERATOR) == 2, table
    assert known_deliveries([*owned.deliveries.values(), uuid4()]) == {*owned.deliveries.values()}


def test_the_operators_alias_is_not_let_in_by_the_district_of_the_other(owned: Owned) -> None:
    """A district that is set for one connection says nothing on the other."""
    with in_district(owned.apple):
        assert run(select("student"), alias=OPERATOR) == 2
        assert run(select("student")) == 1


@pytest.mark.parametrize("table", ["audit_event", "transition"])
@pytest.mark.parametrize("alias", ["default", OPERATOR])
@pytest.mark.parametrize("text", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
def test_what_was_done_is_never_rewritten(owned: Owned, table: str, alias: str, text: str) -> None:
    statement = sql.SQL(text).format(sql.Identifier(table))
    with pytest.raises(ProgrammingError) as refusal, in_district(owned.apple):
        run(statement, alias=alias)
    assert refused_by_rule(refusal.value)
    assert owned.count(table, owned.apple) == 1


def test_a_process_that_serves_makes_and_closes_no_district(owned: Owned) -> None:
    for text in ("DELETE FROM district", "INSERT INTO district (id) VALUES (gen_random_uuid())"):
        with pytest.raises(ProgrammingError) as refusal, in_district(owned.apple):
            run(sql.SQL(text).format())
        assert refused_by_rule(refusal.value)


@pytest.mark.parametrize("role", SERVING)
def test_serving_roles_are_nobody(owned: Owned, role: Role) -> None:
    """Neither superuser nor owner nor past row security, nor member of who is."""
    assert owned.admin.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
        " FROM pg_roles WHERE rolname = %s",
        [role],
    ).fetchall() == [(False,) * 5]
    for query in (
        # The temporary tables of a load are their connection's own, and emptied at its end.
        "SELECT relname FROM pg_class WHERE relowner = %s::regrole AND relpersistence <> 't'",
        "SELECT proname FROM pg_proc WHERE proowner = %s::regrole",
        "SELECT nspname FROM pg_namespace WHERE nspowner = %s::regrole",
        "SELECT datname FROM pg_database WHERE datdba = %s::regrole",
        "SELECT roleid::regrole FROM pg_auth_members WHERE member = %s::regrole",
    ):
        assert owned.admin.execute(query, [role]).fetchall() == [], query


@pytest.mark.parametrize("role", SERVING)
def test_serving_roles_cannot_go_around_row_security(owned: Owned, role: Role) -> None:
    """TRUNCATE asks no policy; a trigger or a table of one's own could run as others do."""
    for table in owned.columns:
        for privilege in ("TRUNCATE", "TRIGGER", "REFERENCES"):
            assert owned.admin.execute(
                "SELECT has_table_privilege(%s, %s, %s)", [role, f'"{table}"', privilege]
            ).fetchone() == (False,), (table, privilege)
    assert owned.admin.execute(
        "SELECT has_schema_privilege(%s, 'public', 'CREATE')", [role]
    ).fetchone() == (False,)
    with pytest.raises(ProgrammingError) as refusal, transaction.atomic():
        run(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(Role.OWNER)))
    assert refused_by_rule(refusal.value)
    with pytest.raises(ProgrammingError) as refusal, transaction.atomic():
        run(sql.SQL("ALTER TABLE student DISABLE ROW LEVEL SECURITY").format())
    assert refused_by_rule(refusal.value)


def test_each_alias_is_its_role(database: None) -> None:
    for alias, role in (("default", Role.APP), (OPERATOR, Role.OPERATOR)):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_user, session_user")
            assert cursor.fetchone() == (role, role)


def test_one_function_alone_runs_as_the_owner(owned: Owned) -> None:
    """It gives public keys; whoever adds another has to say here why it is safe."""
    found = owned.admin.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE prosecdef"
        " AND pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert found == [("nightdrop_key_snapshot", ["search_path=pg_catalog, pg_temp"])]


def test_no_view_shows_what_its_owner_sees(owned: Owned) -> None:
    found = owned.admin.execute(
        "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm')"
        " AND relnamespace = 'public'::regnamespace"
        " AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)"
    ).fetchall()
    assert found == []


def test_the_owners_alias_exists_inside_its_block_alone(database: None) -> None:
    with pytest.raises(ConnectionDoesNotExist):
        connections[OWNER]
    with owner_connection(load_config()) as alias:
        assert alias in connections.settings
    with pytest.raises(ConnectionDoesNotExist):
        connections[OWNER]
    assert set(connections) == {"default", OPERATOR}


def test_the_owner_sees_all_so_that_it_can_migrate_and_dump(owned: Owned) -> None:
    with owner_connection(load_config()) as alias:
        connections[alias].settings_dict["NAME"] = connection.settings_dict["NAME"]
        for table in owned.columns:
            assert run(select(table), alias=alias) == 2, table


class Stop(Exception):
    """Ends a block early."""


def seen() -> list[UUID]:
    return list(District.objects.values_list("id", flat=True))


def test_a_district_inside_another_sets_the_former_back(owned: Owned) -> None:
    with in_district(owned.apple):
        with in_district(owned.birch):
            assert seen() == [owned.birch]
            with in_district(owned.apple):
                assert seen() == [owned.apple]
            assert seen() == [owned.birch]
        assert seen() == [owned.apple]
    assert seen() == []


def test_a_district_inside_another_that_fails_sets_the_former_back(owned: Owned) -> None:
    with in_district(owned.apple):
        with pytest.raises(Stop), in_district(owned.birch):  # noqa: PT012
            assert seen() == [owned.birch]
            raise Stop
        assert seen() == [owned.apple]
        with pytest.raises(ProgrammingError), in_district(owned.birch):
            run(sql.SQL("SELECT * FROM no_such_table").format())
        assert seen() == [owned.apple]
    assert seen() == []


def test_a_district_inside_a_plain_transaction_ends_with_its_block(owned: Owned) -> None:
    with transaction.atomic():
        with in_district(owned.apple):
            assert seen() == [owned.apple]
        assert seen() == []
        with pytest.raises(Stop), in_district(owned.birch):
            raise Stop
        assert seen() == []


def test_what_a_failed_block_wrote_is_gone(owned: Owned) -> None:
    with in_district(owned.apple):
        with pytest.raises(Stop), in_district(owned.apple):  # noqa: PT012
            Delivery.objects.update(epoch="changed")
            raise Stop
        Delivery.objects.update(format="kept")
    with in_district(owned.apple):
        found = Delivery.objects.get()
    assert (found.epoch, found.format) == ("x", "kept")
