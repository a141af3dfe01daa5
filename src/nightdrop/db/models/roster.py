# SPDX-License-Identifier: Apache-2.0
"""The roster: canonical values, as the newest good load left them.

Columns are named as in `core.formats.generic`; a test holds the two together. No
foreign keys and no second index: rows come by COPY and a merge, half a million at a
time, and only `intake` writes them.
"""

from django.db import models


class RosterRow(models.Model):
    """What every roster table has."""

    district_id = models.UUIDField()
    #: Hash of the row's canonical values as last loaded; see `intake.hashing`.
    row_hash = models.BigIntegerField()
    #: The delivery whose load added the row.
    added_by = models.UUIDField()

    class Meta:
        """No table of its own."""

        abstract = True


class Student(RosterRow):
    """A student. PII: the whole row; removed by `roster delete` and `district purge`."""

    pk = models.CompositePrimaryKey("district_id", "student_id")
    student_id = models.TextField()
    last_name = models.TextField(null=True)
    first_name = models.TextField(null=True)
    middle_name = models.TextField(null=True)
    date_of_birth = models.DateField(null=True)
    gender = models.TextField(null=True)
    district_enrollment = models.TextField(null=True)
    grade = models.TextField(null=True)
    address = models.TextField(null=True)
    city = models.TextField(null=True)
    state = models.TextField(null=True)
    zip = models.TextField(null=True)
    race = models.TextField(null=True)
    district_of_residence = models.TextField(null=True)
    county_of_residence = models.TextField(null=True)
    district_of_service = models.TextField(null=True)
    student_reporting_id = models.TextField(null=True)
    building = models.TextField(null=True)
    building_reporting_id = models.TextField(null=True)
    sis_internal_id = models.TextField(null=True)
    language = models.TextField(null=True)

    class Meta:
        """The table."""

        db_table = "student"

    def __str__(self) -> str:
        return "student"


class Guardian(RosterRow):
    """A guardian of a student. PII: the whole row; removed as a student's is."""

    pk = models.CompositePrimaryKey("district_id", "student_id", "guardian_key")
    student_id = models.TextField()
    #: "id:" and the Guardian Id where there is one, else "name:" and both names.
    guardian_key = models.TextField()
    guardian_id = models.TextField(null=True)
    last_name = models.TextField(null=True)
    first_name = models.TextField(null=True)
    relationship = models.TextField(null=True)
    address = models.TextField(null=True)
    city = models.TextField(null=True)
    state = models.TextField(null=True)
    zip = models.TextField(null=True)
    home_phone = models.TextField(null=True)
    work_phone = models.TextField(null=True)
    cell_phone = models.TextField(null=True)
    email = models.TextField(null=True)
    language = models.TextField(null=True)

    class Meta:
        """The table."""

        db_table = "guardian"

    def __str__(self) -> str:
        return "guardian"
