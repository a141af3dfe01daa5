# SPDX-License-Identifier: Apache-2.0
"""The tables as they first were."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Person",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                (
                    "last_login",
                    models.DateTimeField(blank=True, null=True, verbose_name="last login"),
                ),
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("email", models.EmailField(max_length=254, unique=True)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("is_operator", models.BooleanField(default=False)),
                ("is_active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "db_table": "person",
            },
        ),
        migrations.CreateModel(
            name="District",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("username", models.CharField(max_length=64, unique=True)),
                ("name", models.CharField(max_length=200)),
                ("time_zone", models.CharField(max_length=64)),
                (
                    "mode",
                    models.CharField(
                        choices=[("immediate", "Immediate"), ("nightly", "Nightly")],
                        default="immediate",
                        max_length=16,
                    ),
                ),
                ("nightly_at", models.TimeField(null=True)),
                ("suspended_at", models.DateTimeField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "district",
            },
        ),
        migrations.CreateModel(
            name="Guardian",
            fields=[
                ("district_id", models.UUIDField()),
                ("row_hash", models.BigIntegerField()),
                ("added_by", models.UUIDField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "district_id",
                        "student_id",
                        "guardian_key",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("student_id", models.TextField()),
                ("guardian_key", models.TextField()),
                ("guardian_id", models.TextField(null=True)),
                ("last_name", models.TextField(null=True)),
                ("first_name", models.TextField(null=True)),
                ("relationship", models.TextField(null=True)),
                ("address", models.TextField(null=True)),
                ("city", models.TextField(null=True)),
                ("state", models.TextField(null=True)),
                ("zip", models.TextField(null=True)),
                ("home_phone", models.TextField(null=True)),
                ("work_phone", models.TextField(null=True)),
                ("cell_phone", models.TextField(null=True)),
                ("email", models.TextField(null=True)),
                ("language", models.TextField(null=True)),
            ],
            options={
                "db_table": "guardian",
            },
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("token_hash", models.CharField(max_length=64, unique=True)),
                ("email", models.EmailField(max_length=254)),
                ("is_operator", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "invitation",
            },
        ),
        migrations.CreateModel(
            name="Student",
            fields=[
                ("district_id", models.UUIDField()),
                ("row_hash", models.BigIntegerField()),
                ("added_by", models.UUIDField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "district_id",
                        "student_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("student_id", models.TextField()),
                ("last_name", models.TextField(null=True)),
                ("first_name", models.TextField(null=True)),
                ("middle_name", models.TextField(null=True)),
                ("date_of_birth", models.DateField(null=True)),
                ("gender", models.TextField(null=True)),
                ("district_enrollment", models.TextField(null=True)),
                ("grade", models.TextField(null=True)),
                ("address", models.TextField(null=True)),
                ("city", models.TextField(null=True)),
                ("state", models.TextField(null=True)),
                ("zip", models.TextField(null=True)),
                ("race", models.TextField(null=True)),
                ("district_of_residence", models.TextField(null=True)),
                ("county_of_residence", models.TextField(null=True)),
                ("district_of_service", models.TextField(null=True)),
                ("student_reporting_id", models.TextField(null=True)),
                ("building", models.TextField(null=True)),
                ("building_reporting_id", models.TextField(null=True)),
                ("sis_internal_id", models.TextField(null=True)),
                ("language", models.TextField(null=True)),
            ],
            options={
                "db_table": "student",
            },
        ),
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("district_id", models.UUIDField(null=True)),
                ("session", models.UUIDField(null=True)),
                ("at", models.DateTimeField()),
                ("kind", models.CharField(max_length=32)),
                ("facts", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "audit_event",
                "indexes": [models.Index(fields=["district_id", "-at"], name="audit_newest")],
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("epoch", models.CharField(max_length=15)),
                ("marker", models.CharField(max_length=8)),
                ("source", models.CharField(max_length=8)),
                ("session", models.UUIDField(null=True)),
                ("fingerprint", models.CharField(max_length=64, null=True)),
                ("sealed_at", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("sealed", "sealed"),
                            ("checking", "checking"),
                            ("checked", "checked"),
                            ("unrecognised", "unrecognised"),
                            ("rejected", "rejected"),
                            ("held", "held"),
                            ("ready", "ready"),
                            ("loading", "loading"),
                            ("loaded", "loaded"),
                            ("failed", "failed"),
                            ("discarded", "discarded"),
                            ("superseded", "superseded"),
                            ("done", "done"),
                            ("undone", "undone"),
                        ],
                        max_length=16,
                    ),
                ),
                ("state_since", models.DateTimeField()),
                ("attempts", models.IntegerField(default=0)),
                ("format", models.CharField(max_length=32, null=True)),
                ("files", models.JSONField(default=list)),
                (
                    "late_files",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), default=list, size=None
                    ),
                ),
                ("would", models.CharField(max_length=16, null=True)),
                ("counts", models.JSONField(default=dict)),
                ("finding_counts", models.JSONField(default=dict)),
                ("finding_groups", models.JSONField(default=list)),
                (
                    "hold_reasons",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), default=list, size=None
                    ),
                ),
                ("due_at", models.DateTimeField(null=True)),
                ("settles_at", models.DateTimeField()),
                ("processed_name", models.CharField(max_length=32, null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "district",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="db.district"
                    ),
                ),
            ],
            options={
                "db_table": "delivery",
            },
        ),
        migrations.CreateModel(
            name="Change",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("table_name", models.CharField(max_length=32)),
                ("operation", models.CharField(max_length=8)),
                ("record_key", models.JSONField()),
                ("before", models.JSONField()),
                (
                    "delivery",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="db.delivery",
                    ),
                ),
                (
                    "district",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="db.district"
                    ),
                ),
            ],
            options={
                "db_table": "change",
            },
        ),
        migrations.CreateModel(
            name="AccountKey",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("fingerprint", models.CharField(max_length=64)),
                ("type", models.CharField(max_length=64)),
                ("bits", models.IntegerField()),
                ("blob", models.BinaryField()),
                ("label", models.CharField(blank=True, max_length=200)),
                ("expires_at", models.DateTimeField(null=True)),
                (
                    "networks",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), default=list, size=None
                    ),
                ),
                ("added_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(null=True)),
                ("last_used_at", models.DateTimeField(null=True)),
                (
                    "district",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="db.district"
                    ),
                ),
            ],
            options={
                "db_table": "account_key",
            },
        ),
        migrations.CreateModel(
            name="StoredFinding",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("code", models.CharField(max_length=64)),
                ("severity", models.CharField(max_length=8)),
                ("file", models.TextField()),
                ("line", models.IntegerField(null=True)),
                ("column", models.TextField(null=True)),
                ("facts", models.JSONField(default=dict)),
                (
                    "delivery",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="db.delivery",
                    ),
                ),
                (
                    "district",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="db.district"
                    ),
                ),
            ],
            options={
                "db_table": "finding",
            },
        ),
        migrations.CreateModel(
            name="Transition",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("before", models.CharField(max_length=16)),
                ("event", models.CharField(max_length=32)),
                ("after", models.CharField(max_length=16)),
                ("at", models.DateTimeField()),
                ("reason", models.CharField(blank=True, max_length=500)),
                (
                    "delivery",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="db.delivery",
                    ),
                ),
                (
                    "district",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="db.district"
                    ),
                ),
            ],
            options={
                "db_table": "transition",
            },
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(fields=["district", "-sealed_at", "-id"], name="delivery_newest"),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", True)),
                fields=["district"],
                name="delivery_unfinished",
            ),
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(fields=["delivery", "id"], name="change_order"),
        ),
        migrations.AddConstraint(
            model_name="accountkey",
            constraint=models.UniqueConstraint(
                condition=models.Q(("revoked_at__isnull", True)),
                fields=("district", "fingerprint"),
                name="account_key_once",
            ),
        ),
        migrations.AddIndex(
            model_name="storedfinding",
            index=models.Index(fields=["delivery", "id"], name="finding_order"),
        ),
        migrations.AddIndex(
            model_name="transition",
            index=models.Index(fields=["delivery", "id"], name="transition_order"),
        ),
    ]
