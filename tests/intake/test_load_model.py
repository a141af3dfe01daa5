# SPDX-License-Identifier: Apache-2.0
"""Any run of nights leaves the roster that the loading rules describe, row by row."""

from collections.abc import Mapping, Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fix_roster import Roster, Row, guardian, student

IDS = st.sampled_from(["1", "2", "3", "4"])
CELL = st.sampled_from(["", "a", "b"])


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
    found: dict[tuple[str, str], Row] = {}
    for _ in range(draw(st.integers(1, 6))):
        row = guardian(draw(st.sampled_from(ids)), draw(st.sampled_from(["Eve", "Max"])))
        row = {**row, **{name: draw(CELL) for name in sorted(guardian_columns)}}
        found[row["Student Id"], key_of(row)] = row
    return students, list(found.values())


def key_of(row: Row) -> str:
    return f"id:{row['Guardian Id']}" if row.get("Guardian Id") else f"name:{row['First Name']}"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(nights(), min_size=1, max_size=4))
def test_the_roster_is_what_the_rules_say(
    roster: Roster, files: Sequence[tuple[Sequence[Row], Sequence[Row]]]
) -> None:
    for table in ("student", "guardian", "change"):
        roster.run(f"DELETE FROM {table}")
    expected_students: dict[str, Row] = {}
    expected_guardians: dict[tuple[str, str], Row] = {}
    for students, guardians in files:
        night = roster.load(students, guardians)
        for row in students:
            known = expected_students.get(row["Student Id"], {})
            expected_students[row["Student Id"]] = without_empty({**known, **row})
        before = dict(expected_guardians)
        expected_guardians = next_guardians(before, guardians, loaded={r["Student Id"] for r in students})
        counts = night.counts["guardians"]
        assert counts.added + counts.updated + counts.unchanged == len(guardians)
        assert len(before) + counts.added - counts.deleted == len(expected_guardians)
        assert by_text(roster.rows("students")) == by_text(expected_students.values())
        assert by_text(roster.rows("guardians")) == by_text(expected_guardians.values())


def next_guardians(
    known: Mapping[tuple[str, str], Row], rows: Sequence[Row], *, loaded: set[str]
) -> dict[tuple[str, str], Row]:
    """Say in plain words what a guardians file does; the key is (student, guardian key)."""
    listed = {(row["Student Id"], key_of(row)): row for row in rows}
    left = {key: row for key, row in known.items() if key not in listed}
    after = {key: row for key, row in left.items() if key[0] not in loaded}
    for key, row in listed.items():
        former = known.get(key)
        if former is None:
            former_key = same_by_names(key, row, left=left, new=listed.keys() - known.keys())
            former = known.get(former_key) if former_key else None
        merged = without_empty({**(former or {}), **row})
        after[row["Student Id"], key_of(merged)] = merged
    return after


def same_by_names(
    key: tuple[str, str],
    row: Row,
    *,
    left: Mapping[tuple[str, str], Row],
    new: set[tuple[str, str]],
) -> tuple[str, str] | None:
    """Find the one guardian who is known under the other kind of key."""
    is_named = not row.get("Guardian Id")
    candidates = [
        one
        for one, other in left.items()
        if one[0] == key[0]
        and other["First Name"] == row["First Name"]
        and one[1].startswith("id:") == is_named
    ]
    del new
    return candidates[0] if len(candidates) == 1 else None


def without_empty(row: Row) -> Row:
    return {name: cell for name, cell in row.items() if cell}


def by_text(rows: object) -> list[list[tuple[str, str]]]:
    assert isinstance(rows, list | type({}.values()))
    return sorted(sorted(row.items()) for row in rows)
