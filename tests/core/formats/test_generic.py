# SPDX-License-Identifier: Apache-2.0
"""The layouts of the generic format, as the guide has them, and the registry."""

import pytest

from nightdrop.core.formats.generic import GENERIC, GUARDIANS, STUDENTS
from nightdrop.core.formats.registry import BUILT_IN, format_named
from nightdrop.core.formats.spec import Rule, Table

STUDENT_HEADINGS = """
Student Id, Last Name, First Name, Middle Name, Date of Birth, Gender, District Enrollment, Grade,
Address, City, State, Zip, Race, District of Residence, County of Residence, District of Service,
Student Reporting Id, Building, Building Reporting Id, SIS Internal ID, Language
"""
GUARDIAN_HEADINGS = """
Student Id, Last Name, First Name, Guardian Id, Relationship, Address, City, State, Zip,
Home Phone, Work Phone, Cell Phone, Email, Language
"""


@pytest.mark.parametrize(
    ("table", "headings"), [(STUDENTS, STUDENT_HEADINGS), (GUARDIANS, GUARDIAN_HEADINGS)]
)
def test_headings_are_those_of_the_guide(table: Table, headings: str) -> None:
    wanted = [heading.strip() for heading in headings.split(",")]
    assert [column.heading for column in table.columns] == wanted


def test_required_columns_of_students() -> None:
    required = [column.heading for column in STUDENTS.columns if column.required]
    assert required == [
        "Student Id",
        "Last Name",
        "First Name",
        "Date of Birth",
        "Gender",
        "District Enrollment",
        "Building",
        "Building Reporting Id",
    ]


def test_aliases_of_students() -> None:
    aliases = {column.heading: column.aliases for column in STUDENTS.columns if column.aliases}
    assert aliases == {
        "Building Reporting Id": ("Building IRN",),
        "SIS Internal ID": ("Internal SIS Student Id",),
    }


def test_guardians_belong_to_students() -> None:
    assert GUARDIANS.parent == STUDENTS.name
    assert GUARDIANS.key == ("student_id", "last_name", "first_name")
    assert GUARDIANS.alternative_key == "guardian_id"
    assert [column.name for column in GUARDIANS.columns if column.required] == list(GUARDIANS.key)


@pytest.mark.parametrize("table", GENERIC.tables)
def test_tables_are_sound(table: Table) -> None:
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert set(table.key) <= set(names)
    for column in table.columns:
        assert bool(column.choices) == (column.rule is Rule.CHOICE)


def test_format_is_found_by_its_name() -> None:
    assert format_named("generic") is GENERIC
    assert BUILT_IN == (GENERIC,)
    with pytest.raises(KeyError):
        format_named("nothing")
