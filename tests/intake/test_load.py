# SPDX-License-Identifier: Apache-2.0
"""What a night's files make of the roster."""

import pytest

from fix_roster import Roster, as_csv, guardian, student
from nightdrop.db.models import District
from nightdrop.intake.load import TableCounts


def counts(**given: int) -> TableCounts:
    zero = {"added": 0, "updated": 0, "deleted": 0, "unchanged": 0, "faulty": 0}
    return TableCounts(**(zero | given))


def test_the_first_night_adds_every_row(roster: Roster) -> None:
    night = roster.load(
        [student("2", Grade="4"), student("1")], [guardian("1", "Max"), guardian("2", "Max")]
    )
    assert night.counts == {"students": counts(added=2), "guardians": counts(added=2)}
    assert [row["Student Id"] for row in roster.rows("students")] == ["1", "2"]
    assert roster.query("SELECT DISTINCT added_by FROM student") == [(night.delivery,)]
    assert roster.query("SELECT count(*) FROM change") == [(0,)]


def test_the_same_night_again_changes_nothing(roster: Roster) -> None:
    files = [student("1"), student("2")], [guardian("1", "Max"), guardian("2", "Max")]
    roster.load(*files)
    night = roster.load(*files)
    assert night.counts == {"students": counts(unchanged=2), "guardians": counts(unchanged=2)}


def test_another_spelling_of_the_same_values_changes_nothing(roster: Roster) -> None:
    roster.load([student("1", Gender="F", Date_of_Birth="2015-03-04")])
    night = roster.load([student("1", Gender="female", Date_of_Birth="03/04/2015")])
    assert night.counts["students"] == counts(unchanged=1)


def test_students_are_added_and_updated_and_never_deleted(roster: Roster) -> None:
    first = roster.load([student("1"), student("2"), student("3")])
    night = roster.load([student("1"), student("2", Building="Lincoln High"), student("4")])
    assert night.counts["students"] == counts(added=1, updated=1, unchanged=1)
    assert [row["Student Id"] for row in roster.rows("students")] == ["1", "2", "3", "4"]
    assert roster.rows("students")[1]["Building"] == "Lincoln High"
    assert roster.query("SELECT student_id, added_by FROM student ORDER BY 1") == [
        ("1", first.delivery),
        ("2", first.delivery),
        ("3", first.delivery),
        ("4", night.delivery),
    ]


def test_an_update_keeps_the_row_as_it_was(roster: Roster) -> None:
    roster.load([student("1", Grade="3"), student("2")])
    night = roster.load([student("1", Grade="4"), student("2"), student("3")])
    changes = roster.query(
        "SELECT delivery_id, table_name, operation, record_key->>'student_id',"
        " before->>'grade', before->>'date_of_birth' FROM change"
    )
    assert changes == [(night.delivery, "students", "updated", "1", "3", "2015-03-04")]


def test_a_column_that_is_not_supplied_keeps_its_values(roster: Roster) -> None:
    roster.load([student("1", Grade="3", Race="White")])
    night = roster.load([student("1", Race="White")])
    assert night.counts["students"] == counts(unchanged=1)
    assert roster.rows("students")[0]["Grade"] == "3"


def test_an_empty_cell_clears_its_value(roster: Roster) -> None:
    roster.load([student("1", Grade="3")])
    night = roster.load([student("1", Grade="")])
    assert night.counts["students"] == counts(updated=1)
    assert "Grade" not in roster.rows("students")[0]


def test_a_change_is_seen_across_a_night_with_fewer_columns(roster: Roster) -> None:
    """The hash of a row says nothing when the file has other columns than the last one."""
    roster.load([student("1", Grade="3", Race="White")])
    roster.load([student("1", Grade="4")])
    night = roster.load([student("1", Grade="3", Race="White")])
    assert night.counts["students"] == counts(updated=1)
    assert roster.rows("students")[0]["Grade"] == "3"


def test_rows_that_are_equal_get_the_new_hash(roster: Roster) -> None:
    """So the next night of the same columns finds them without comparing cells."""
    roster.load([student("1", Grade="3"), student("2", Grade="3")])
    before = set(roster.query("SELECT row_hash FROM student"))
    night = roster.load([student("1"), student("2")])
    after = set(roster.query("SELECT row_hash FROM student"))
    assert night.counts["students"] == counts(unchanged=2)
    assert not before & after
    assert roster.query("SELECT count(*) FROM change") == [(0,)]


@pytest.mark.parametrize(
    "value", ["a,b", 'say "hi"', "two\nlines", "\\.", "\\N", "Zoë Nuñez", "=1+1", "tab\there"]
)
def test_values_arrive_as_they_were_sent(roster: Roster, value: str) -> None:
    roster.load([student("1", Address=value)])
    roster.load([student("1", Address=value), student("2", Address=value)])
    assert [row["Address"] for row in roster.rows("students")] == [value, value]


def test_faulty_rows_are_left_out_and_counted(roster: Roster) -> None:
    good = [student(str(number)) for number in range(100)]
    night = roster.load([*good, student("100", Gender="other"), student("7")])
    assert night.counts["students"] == counts(added=100, faulty=1)
    again = roster.load([*good, student("100", Gender="other"), student("7")])
    assert again.counts["students"] == counts(unchanged=100, faulty=1)


def test_a_large_change_is_counted_row_by_row(roster: Roster) -> None:
    """More rows than the planner is left to guess about."""
    first = [student(f"{number:05}", Grade="3") for number in range(3000)]
    second = [student(f"{number:05}", Grade="4") for number in range(1000, 4000)]
    roster.load(first, [guardian(row["Student Id"], "Max") for row in first])
    night = roster.load(second, [guardian(row["Student Id"], "Eve") for row in second])
    assert night.counts == {
        "students": counts(added=1000, updated=2000),
        "guardians": counts(added=3000, deleted=2000),
    }
    assert len(roster.rows("students")) == 4000
    assert len(roster.rows("guardians")) == 4000


def test_a_district_never_touches_another_ones_roster(roster: Roster, birch: District) -> None:
    stranger = Roster(birch.id, roster.directory)
    rows = [student("1"), student("2")], [guardian("1", "Max"), guardian("2", "Max")]
    roster.load(*rows)
    before = roster.export("students"), roster.export("guardians")
    assert stranger.load(*rows).counts["students"] == counts(added=2)
    changed = [student("1", Grade="9"), student("2")], [guardian("1", "Eve"), guardian("2", "Max")]
    assert stranger.load(*changed).counts["guardians"] == counts(added=1, deleted=1, unchanged=1)
    assert (roster.export("students"), roster.export("guardians")) == before


def test_order_of_rows_and_columns_means_nothing(roster: Roster) -> None:
    rows = [student(str(number), Grade="2") for number in range(50)]
    roster.load(rows)
    turned = [dict(reversed([*row.items()])) for row in reversed(rows)]
    assert roster.load(as_csv(turned)).counts["students"] == counts(unchanged=50)
