# SPDX-License-Identifier: Apache-2.0
"""What a district may have in /upload, where that is not what all may; in the snapshot, too."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).parent.parent / "sql"


def read(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


class Migration(migrations.Migration):
    dependencies = [("db", "0002_row_security")]

    operations = [
        migrations.AddField(
            model_name="district",
            name="quota_bytes",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="district",
            name="quota_files",
            field=models.BigIntegerField(null=True),
        ),
        migrations.RunSQL(
            read("key_snapshot_quotas.sql"),
            "DROP FUNCTION nightdrop_key_snapshot();"
            " DROP FUNCTION nightdrop_keys_changed() CASCADE;" + read("key_snapshot.sql"),
        ),
    ]
