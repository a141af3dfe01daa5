# SPDX-License-Identifier: Apache-2.0
"""Row security from the first table on, and what each role may do."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent.parent / "sql"

#: table -> the column that names its district.
TABLES = {
    "district": "id",
    "account_key": "district_id",
    "delivery": "district_id",
    "transition": "district_id",
    "finding": "district_id",
    "change": "district_id",
    "student": "district_id",
    "guardian": "district_id",
    "audit_event": "district_id",
}


def read(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


class Migration(migrations.Migration):
    dependencies = [
        ("db", "0001_initial"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("procrastinate", "0041_post_retry_failed_job"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(read("roster_storage.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(
            "CREATE TABLE cache (cache_key varchar(255) PRIMARY KEY, value text NOT NULL,"
            " expires timestamptz NOT NULL); CREATE INDEX cache_expires ON cache (expires)",
            "DROP TABLE cache",
        ),
        *(
            migrations.RunSQL(
                read("row_security.sql").replace("{table}", table).replace("{column}", column),
                f"DROP POLICY district ON {table}; DROP POLICY operator ON {table};"
                f" ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
            )
            for table, column in TABLES.items()
        ),
        migrations.RunSQL(
            read("audit_without_district.sql"), "DROP POLICY without_district ON audit_event"
        ),
        migrations.RunSQL(
            read("key_snapshot.sql"),
            "DROP FUNCTION nightdrop_key_snapshot(); DROP FUNCTION nightdrop_keys_changed() CASCADE",
        ),
        migrations.RunSQL(read("grants.sql"), migrations.RunSQL.noop),
    ]
