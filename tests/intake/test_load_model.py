# SPDX-License-Identifier: Apache-2.0
"""Any run of nights leaves the roster that the loading rules describe, row by row."""

from collections.abc import Iterable, Mapping, Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fix_roster import Roster, Row, guardian, student

IDS = st.sampled_from(["1", "2", "3", "4"])
CELL = st.sampled_from(["", "a", "b"])
#: A guardian's student and key.
Key = tuple[str, str]


@st.composite
def nights(draw: st.DrawFn) -> tuple[Sequence[Row], Sequence[Row]]:
    """Draw the files of a night: unique keys, optional columns there or not."""
    student_columns = draw(st.sets(st.sampled_from(["Grade", "Race"])))
    students = [
        {**student(one), **{name: draw(CELL) for name in student_columns}}
        for one in sorted(draw(st.sets(IDS, min_size=1)))
    ]
    ids = [row["Student Id"] for row in students]
    guardian_columns = draw(st.sets(st.sampled_from(["City", "Guardian Id"])))
    found: dict[Key, Row] = {}
    for _ in range(draw(st.integers(1, 6))):
        row = guardian(draw(st.sampled_from(ids)), draw(st.sampled_from(["Eve", "Max"])))
        row = {**row, **{name: draw(CELL) for name in sorted(guardian_columns)}}
        found[row["Student Id"], key_of(row)] = row
    return students, list(found.values())


def key_of(row: Row) -> str:
    return f"id:{row['Guardian Id']}" if row.get("Guardian Id") else f"name:{row['First Name']}"


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(nights(), min_size=1, max_size=4))
def test_the_roster_is_what_the_rules_say(
    roster: Roster, files: Sequence[tuple[Sequence[Row], Sequence[Row]]]
) -> None:
    roster.run("DELETE FROM student; DELETE FROM guardian; DELETE FROM change")
    expected_students: dict[str, Row] = {}
    expected_guardians: dict[Key, Row] = {}
    for students, guardians in files:
        night = roster.load(students, guardians)
        for row in students:
            known = expected_students.get(row["Student Id"], {})
            expected_students[row["Student Id"]] = without_empty({**known, **row})
        before = dict(expected_guardians)
        loaded = {row["Student Id"] for row in students}
        expected_guardians = next_guardians(before, guardians, loaded=loaded)
        counts = night.counts["guardians"]
        assert counts.added + counts.updated + counts.unchanged == len(guardians)
        assert len(before) + counts.added - counts.deleted == len(expected_guardians)
        assert by_text(roster.rows("students")) == by_text(expected_students.values())
        assert by_text(roster.rows("guardians")) == by_text(expected_guardians.values())


def next_guardians(
    known: Mapping[Key, Row], rows: Sequence[Row], *, loaded: set[str]
) -> dict[Key, Row]:
    """Say in plain words what a guardians file does."""
    listed = {(row["Student Id"], key_of(row)): row for row in rows}
    departing = {key: row for key, row in known.items() if key not in listed}
    arriving = {key: row for key, row in listed.items() if key not in known}
    after = {key: row for key, row in departing.items() if key[0] not in loaded}
    for key, row in listed.items():
        before = known.get(key)
        if before is None and len(alike(key, row, among=arriving, other_kind=False)) == 1:
            same = alike(key, row, among=departing, other_kind=True)
            before = same[0] if len(same) == 1 else None
        merged = without_empty({**(before or {}), **row})
        after[row["Student Id"], key_of(merged)] = merged
    return after


def alike(key: Key, row: Row, *, among: Mapping[Key, Row], other_kind: bool) -> list[Row]:
    """Find guardians of the same student and name, known by the other kind of key or by this."""
    return [
        other
        for (student_id, other_key), other in among.items()
        if student_id == key[0]
        and other["First Name"] == row["First Name"]
        and (other_key[:3] != key[1][:3]) == other_kind
    ]


def without_empty(row: Row) -> Row:
    return {name: cell for name, cell in row.items() if cell}


def by_text(rows: Iterable[Row]) -> list[list[tuple[str, str]]]:
    return sorted(sorted(row.items()) for row in rows)
