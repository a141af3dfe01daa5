# SPDX-License-Identifier: Apache-2.0
"""What a load would change is known before anything is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connections

from fix_roster import Night, Roster, Row, guardian, student
from nightdrop.db.models import District
from nightdrop.intake.checked import CheckedBundle
from nightdrop.intake.compare import Comparison, compare
from nightdrop.intake.load import RosterMoved, apply, load_order

STUDENTS = [student("1"), student("2"), student("3")]
GUARDIANS = [guardian("1", "Eve"), guardian("2", "Max"), guardian("3", "Tom")]


@contextmanager
def session(district: UUID, *, alias: str = "default") -> Iterator[psycopg.Connection]:
    """Open a transaction of a role in a district, and roll it back."""
    given = connections[alias].get_connection_params()
    names = ("host", "port", "user", "dbname")
    with psycopg.connect(**{name: given[name] for name in names}) as connection:
        connection.execute("SELECT set_config('nightdrop.district', %s, true)", [str(district)])
        yield connection
        connection.rollback()


def test_everything_is_counted_before_anything_is_written(roster: Roster) -> None:
    roster.load(STUDENTS, GUARDIANS)
    before = roster.export("students"), roster.export("guardians")
    students: list[Row] = [student("1"), student("2", Grade="9"), student("3"), student("4")]
    with (
        roster.checked(students, [guardian("1", "Eve"), guardian("2", "Ada")]) as bundle,
        session(roster.district) as connection,
    ):
        found = [
            compare(connection, checked, students=bundle.tables["students"])
            for checked in load_order(bundle)
        ]
        assert [numbers(one) for one in found] == [(3, 1, 1, 0, 2), (3, 1, 0, 2, 1)]
        counted = connection.execute("SELECT count(*) FROM student").fetchone()
        assert counted == (3,)
    assert (roster.export("students"), roster.export("guardians")) == before


def numbers(found: Comparison) -> tuple[int, int, int, int, int]:
    return found.roster_rows, found.added, found.updated, found.deleted, found.unchanged


def test_comparing_twice_counts_the_same(roster: Roster) -> None:
    roster.load(STUDENTS, GUARDIANS)
    with (
        roster.checked([student("1", Grade="9")], [guardian("1", "Ada")]) as bundle,
        session(roster.district) as connection,
    ):
        for checked in load_order(bundle):
            first, second = (
                compare(connection, checked, students=bundle.tables["students"]) for _ in range(2)
            )
            assert numbers(first) == numbers(second)


@pytest.mark.parametrize(
    "meddle",
    [
        "DELETE FROM student",
        "UPDATE student SET grade = '9' WHERE student_id = '1'",
        "INSERT INTO student (student_id, row_hash, added_by) VALUES ('4', 0, gen_random_uuid())",
    ],
)
def test_a_roster_that_moved_after_the_comparison_is_not_written(
    roster: Roster, meddle: str
) -> None:
    night = roster.load(STUDENTS)
    with (
        roster.checked([student("1", Grade="9"), student("4")]) as bundle,
        session(roster.district) as connection,
    ):
        found = compare(connection, bundle.tables["students"])
        connection.execute(meddle.encode())
        with pytest.raises(RosterMoved):
            apply(connection, found, delivery=night.delivery)


def test_a_role_that_sees_every_district_compares_with_one(roster: Roster, birch: District) -> None:
    roster.load(STUDENTS, GUARDIANS)
    Roster(birch.id, roster.directory).load([student("9")], [guardian("9", "Eve")])
    with (
        roster.checked([student("1", Grade="9"), student("9")], [guardian("1", "Ada")]) as bundle,
        session(birch.id, alias="operator") as connection,
    ):
        found = [
            compare(connection, checked, students=bundle.tables["students"])
            for checked in load_order(bundle)
        ]
        assert [numbers(one) for one in found] == [(1, 1, 0, 0, 1), (1, 1, 0, 1, 0)]


def test_without_a_district_nothing_is_seen_and_nothing_is_written(roster: Roster) -> None:
    roster.load(STUDENTS)
    with (
        roster.checked(STUDENTS) as bundle,
        session(uuid4()) as connection,
    ):
        connection.execute("SELECT set_config('nightdrop.district', '', true)")
        found = compare(connection, bundle.tables["students"])
        assert numbers(found) == (0, 3, 0, 0, 0)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            apply(connection, found, delivery=uuid4())


def test_a_load_that_is_rolled_back_leaves_the_roster_as_it_was(roster: Roster) -> None:
    night = roster.load(STUDENTS, GUARDIANS)
    before = roster.export("students"), roster.export("guardians")
    with (
        roster.checked([student("1", Grade="9")], [guardian("1", "Ada")]) as bundle,
        session(roster.district) as connection,
    ):
        apply_all(connection, bundle, night)
    assert (roster.export("students"), roster.export("guardians")) == before
    assert roster.query("SELECT count(*) FROM change") == [(0,)]


def apply_all(connection: psycopg.Connection, bundle: CheckedBundle, night: Night) -> None:
    for checked in load_order(bundle):
        found = compare(connection, checked, students=bundle.tables["students"])
        apply(connection, found, delivery=night.delivery)
