# SPDX-License-Identifier: Apache-2.0
"""Who is a guardian after a night's files: added, updated, renamed, deleted."""

from fix_roster import Roster, guardian, student
from nightdrop.intake.load import TableCounts

STUDENTS = [student("1"), student("2")]


def counts(**given: int) -> TableCounts:
    zero = {"added": 0, "updated": 0, "deleted": 0, "unchanged": 0, "faulty": 0}
    return TableCounts(**(zero | given))


def names(roster: Roster) -> list[tuple[str, str]]:
    return [(row["Student Id"], row["First Name"]) for row in roster.rows("guardians")]


def test_a_guardian_no_longer_listed_is_deleted(roster: Roster) -> None:
    roster.load(STUDENTS, [guardian("1", "Eve", City="Birch"), guardian("1", "Max")])
    night = roster.load(STUDENTS, [guardian("1", "Max"), guardian("2", "Tom")])
    assert night.counts["guardians"] == counts(added=1, deleted=1, unchanged=1)
    assert names(roster) == [("1", "Max"), ("2", "Tom")]
    kept = roster.query(
        "SELECT operation, record_key->>'guardian_key', before->>'city' FROM change"
    )
    assert kept == [("deleted", "name:Sawyer\x1fEve", "Birch")]


def test_nobody_is_deleted_without_a_guardians_file(roster: Roster) -> None:
    roster.load(STUDENTS, [guardian("1", "Eve")])
    assert "guardians" not in roster.load(STUDENTS).counts
    assert names(roster) == [("1", "Eve")]


def test_guardians_of_a_student_who_is_not_in_the_file_stay(roster: Roster) -> None:
    roster.load(STUDENTS, [guardian("1", "Eve"), guardian("2", "Max")])
    night = roster.load([student("1")], [guardian("1", "Eve")])
    assert night.counts["guardians"] == counts(unchanged=1)
    assert names(roster) == [("1", "Eve"), ("2", "Max")]


def test_guardians_of_a_student_with_a_faulty_guardian_row_stay(roster: Roster) -> None:
    roster.load(STUDENTS, [guardian("1", "Eve"), guardian("1", "Max"), guardian("2", "Max")])
    others = [student(str(number)) for number in range(3, 60)]
    night = roster.load(
        [*STUDENTS, *others],
        [
            guardian("1", "Eve", Email="no address"),
            *(guardian(s["Student Id"], "Tom") for s in others),
        ],
    )
    assert night.counts["guardians"] == counts(added=57, faulty=1, deleted=1)
    assert names(roster)[:2] == [("1", "Eve"), ("1", "Max")]
    assert ("2", "Max") not in names(roster)


def test_guardians_of_a_student_who_is_faulty_stay(roster: Roster) -> None:
    roster.load(STUDENTS, [guardian("1", "Eve"), guardian("2", "Max")])
    others = [student(str(number)) for number in range(3, 60)]
    roster.load([student("1"), student("2", Gender="other"), *others], [guardian("1", "Eve")])
    assert names(roster) == [("1", "Eve"), ("2", "Max")]


def test_an_unknown_student_id_keeps_every_guardian(roster: Roster) -> None:
    """Which student was meant cannot be told, so nobody's omission can be trusted."""
    many = [student(str(number)) for number in range(40)]
    rows = [guardian(row["Student Id"], "Max") for row in many]
    roster.load(many, [*rows, guardian("1", "Eve")])
    night = roster.load(many, [*rows, guardian("NOBODY", "Eve")])
    assert not night.comparisons["guardians"].checked.may_delete
    assert night.counts["guardians"].deleted == 0
    assert ("1", "Eve") in names(roster)


def test_a_guardian_who_gets_an_id_is_updated(roster: Roster) -> None:
    first = roster.load(STUDENTS, [guardian("1", "Eve"), guardian("1", "Max")])
    night = roster.load(
        STUDENTS, [guardian("1", "Eve", Guardian_Id="G7"), guardian("1", "Max", Guardian_Id="")]
    )
    assert night.counts["guardians"] == counts(updated=1, unchanged=1)
    assert roster.query("SELECT guardian_key, added_by FROM guardian ORDER BY 1") == [
        ("id:G7", first.delivery),
        ("name:Sawyer\x1fMax", first.delivery),
    ]
    kept = roster.query(
        "SELECT operation, record_key->>'guardian_key', before->>'guardian_key' FROM change"
    )
    assert kept == [("updated", "id:G7", "name:Sawyer\x1fEve")]


def test_a_guardian_who_loses_the_id_is_updated(roster: Roster) -> None:
    roster.load(STUDENTS, [guardian("1", "Eve", Guardian_Id="G7", City="Birch")])
    night = roster.load(STUDENTS, [guardian("1", "Eve", Guardian_Id="", City="Birch")])
    assert night.counts["guardians"] == counts(updated=1)
    assert roster.query("SELECT guardian_key FROM guardian") == [("name:Sawyer\x1fEve",)]


def test_ids_that_are_no_longer_supplied_stay(roster: Roster) -> None:
    """A missing column keeps its values; guardians are then known by their names."""
    roster.load(STUDENTS, [guardian("1", "Eve", Guardian_Id="G7", City="Birch")])
    night = roster.load(STUDENTS, [guardian("1", "Eve", City="Elmwood")])
    assert night.counts["guardians"] == counts(updated=1)
    row = roster.query("SELECT guardian_key, guardian_id, city FROM guardian")
    assert row == [("id:G7", "G7", "Elmwood")]
    kept = roster.query("SELECT record_key->>'guardian_key', before->>'city' FROM change")
    assert kept == [("id:G7", "Birch")]
    again = roster.load(STUDENTS, [guardian("1", "Eve", City="Elmwood")])
    assert again.counts["guardians"] == counts(unchanged=1)


def test_another_id_is_another_guardian(roster: Roster) -> None:
    roster.load(STUDENTS, [guardian("1", "Eve", Guardian_Id="G7")])
    night = roster.load(STUDENTS, [guardian("1", "Eve", Guardian_Id="G8")])
    assert night.counts["guardians"] == counts(added=1, deleted=1)


def test_names_that_leave_doubt_do_not_rename(roster: Roster) -> None:
    roster.load(
        STUDENTS, [guardian("1", "Eve", Guardian_Id="G7"), guardian("1", "Eve", Guardian_Id="G8")]
    )
    night = roster.load(STUDENTS, [guardian("1", "Eve")])
    assert night.counts["guardians"] == counts(added=1, deleted=2)


def test_a_guardian_with_an_id_may_change_the_name(roster: Roster) -> None:
    roster.load(STUDENTS, [guardian("1", "Eve", Guardian_Id="G7")])
    night = roster.load(STUDENTS, [guardian("1", "Eva", Guardian_Id="G7")])
    assert night.counts["guardians"] == counts(updated=1)
    assert names(roster) == [("1", "Eva")]


def test_a_rename_and_a_newcomer_of_the_old_name(roster: Roster) -> None:
    """Max brings an id; his key by names is free, and a deletion beside it goes on."""
    roster.load(STUDENTS, [guardian("1", "Max"), guardian("1", "Eve"), guardian("2", "Eve")])
    night = roster.load(
        STUDENTS, [guardian("1", "Max", Guardian_Id="G1"), guardian("2", "Eve", Guardian_Id="G1")]
    )
    assert night.counts["guardians"] == counts(updated=2, deleted=1)
    assert names(roster) == [("1", "Max"), ("2", "Eve")]


def test_every_guardian_gets_an_id_in_one_night(roster: Roster) -> None:
    many = [student(str(number)) for number in range(1500)]
    rows = [guardian(row["Student Id"], "Max") for row in many]
    roster.load(many, rows)
    night = roster.load(many, [{**row, "Guardian Id": f"G{row['Student Id']}"} for row in rows])
    assert night.counts["guardians"] == counts(updated=1500)


def test_a_guardian_whose_student_is_not_in_the_file_is_left_out(roster: Roster) -> None:
    roster.load(STUDENTS, [guardian("1", "Eve"), guardian("2", "Max")])
    night = roster.load([student("1")], [guardian("1", "Eve"), guardian("2", "Tom")])
    assert night.counts["guardians"] == counts(unchanged=1)
    assert names(roster) == [("1", "Eve"), ("2", "Max")]


def test_the_first_guardians_may_come_later_than_the_students(roster: Roster) -> None:
    roster.load(STUDENTS)
    night = roster.load(STUDENTS, [guardian("1", "Eve")])
    assert night.counts == {"students": counts(unchanged=2), "guardians": counts(added=1)}
