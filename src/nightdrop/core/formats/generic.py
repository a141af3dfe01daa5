# SPDX-License-Identifier: Apache-2.0
"""The generic format: students.csv and guardians.csv, as the original's guide lays them out.

Columns marked `inferred` are not shown in full on the original's public page; they are
taken when they come and never missed when they do not.
"""

from nightdrop.core.formats.spec import Column, Format, Rule, Table

ENROLLMENTS = (
    "PRE_ENROLLED",
    "ENROLLED",
    "TRANSFERRED",
    "WITHDREW",
    "DROPPED_OUT",
    "GRADUATED",
    "INACTIVE",
    "HISTORICAL_IDLE",
)

_STUDENT_ID = Column(heading="Student Id", name="student_id", rule=Rule.IDENTIFIER, required=True)
_LAST_NAME = Column(heading="Last Name", name="last_name", required=True)
_FIRST_NAME = Column(heading="First Name", name="first_name", required=True)
_LANGUAGE = Column(heading="Language", name="language", rule=Rule.LANGUAGE, inferred=True)
_HOME = (
    Column(heading="Address", name="address"),
    Column(heading="City", name="city"),
    Column(heading="State", name="state"),
    Column(heading="Zip", name="zip"),
)

#: One row per student; a district sends every enrolled student.
STUDENTS = Table(
    name="students",
    file_name="students.csv",
    columns=(
        _STUDENT_ID,
        _LAST_NAME,
        _FIRST_NAME,
        Column(heading="Middle Name", name="middle_name"),
        Column(heading="Date of Birth", name="date_of_birth", rule=Rule.PAST_DATE, required=True),
        Column(heading="Gender", name="gender", rule=Rule.GENDER, required=True),
        Column(
            heading="District Enrollment",
            name="district_enrollment",
            rule=Rule.CHOICE,
            required=True,
            choices=ENROLLMENTS,
        ),
        Column(heading="Grade", name="grade"),
        *_HOME,
        Column(heading="Race", name="race"),
        Column(heading="District of Residence", name="district_of_residence"),
        Column(heading="County of Residence", name="county_of_residence"),
        Column(heading="District of Service", name="district_of_service"),
        Column(heading="Student Reporting Id", name="student_reporting_id"),
        Column(heading="Building", name="building", required=True),
        Column(
            heading="Building Reporting Id",
            name="building_reporting_id",
            required=True,
            aliases=("Building IRN",),
        ),
        Column(
            heading="SIS Internal ID",
            name="sis_internal_id",
            aliases=("Internal SIS Student Id",),
        ),
        _LANGUAGE,
    ),
    key=("student_id",),
)

#: One row per guardian and student; only together with students.csv.
GUARDIANS = Table(
    name="guardians",
    file_name="guardians.csv",
    columns=(
        _STUDENT_ID,
        _LAST_NAME,
        _FIRST_NAME,
        Column(heading="Guardian Id", name="guardian_id", inferred=True),
        Column(heading="Relationship", name="relationship"),
        *_HOME,
        Column(heading="Home Phone", name="home_phone", rule=Rule.PHONE),
        Column(heading="Work Phone", name="work_phone", rule=Rule.PHONE),
        Column(heading="Cell Phone", name="cell_phone", rule=Rule.PHONE),
        Column(heading="Email", name="email", rule=Rule.EMAIL),
        _LANGUAGE,
    ),
    key=("student_id", "last_name", "first_name"),
    alternative_key="guardian_id",
    parent="students",
)

GENERIC = Format(
    name="generic",
    title="Generic CSV (students.csv, guardians.csv)",
    tables=(STUDENTS, GUARDIANS),
)
