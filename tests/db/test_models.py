# SPDX-License-Identifier: Apache-2.0
"""What every table says of itself, and what the roster's must be called."""

import re

import pytest
from django.apps import apps
from django.db import connection, models

from nightdrop.core.formats.generic import GENERIC
from nightdrop.core.formats.spec import Rule, Table
from nightdrop.db.models.roster import Guardian, RosterRow, Student

MODELS = sorted(apps.get_app_config("db").get_models(), key=lambda model: model.__name__)
ROSTER: dict[str, type[RosterRow]] = {"students": Student, "guardians": Guardian}
#: What a roster row has beside what its district sent.
OWN = {"pk", "district_id", "row_hash", "added_by", "guardian_key"}


@pytest.mark.parametrize("model", MODELS)
def test_each_model_says_what_it_holds_of_people(model: type[models.Model]) -> None:
    """Either that it is nothing, or what it is."""
    said = re.search(r"(?:\bNo PII\.|\bPII: \w+)", model.__doc__ or "")
    assert said, model.__doc__


def test_every_table_of_ours_has_a_model(database: None) -> None:
    """Django, its apps and the queue have their own."""
    known = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    others = {"cache", "django_migrations"}
    found = set(connection.introspection.table_names())
    assert {
        name for name in found - known - others if not name.startswith("procrastinate_")
    } == set()


@pytest.mark.parametrize("table", GENERIC.tables, ids=lambda table: table.name)
def test_roster_columns_are_the_formats(table: Table) -> None:
    fields = {field.name: field for field in ROSTER[table.name]._meta.get_fields()}
    assert fields.keys() - OWN == {column.name for column in table.columns}
    for column in table.columns:
        is_date = isinstance(fields[column.name], models.DateField)
        assert is_date is (column.rule is Rule.PAST_DATE), column.name


@pytest.mark.parametrize("table", GENERIC.tables, ids=lambda table: table.name)
def test_roster_keys_are_the_formats(table: Table) -> None:
    primary = ROSTER[table.name]._meta.pk
    assert isinstance(primary, models.CompositePrimaryKey)
    key = list(primary.field_names)
    if table.alternative_key is None:
        assert key == ["district_id", *table.key]
    else:
        assert key == ["district_id", table.key[0], "guardian_key"]


def test_there_is_a_model_for_each_table_of_the_format() -> None:
    assert ROSTER.keys() == {table.name for table in GENERIC.tables}
