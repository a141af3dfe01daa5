# SPDX-License-Identifier: Apache-2.0
"""The Django app that owns every table of Nightdrop's own."""

from django.apps import AppConfig


class DatabaseConfig(AppConfig):
    """Tables, migrations and the one door to a district's rows."""

    name = "nightdrop.db"
    label = "db"
    verbose_name = "Nightdrop"
