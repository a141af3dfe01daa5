# SPDX-License-Identifier: Apache-2.0
"""Deliveries and everything known of them."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from nightdrop.core.delivery.machine import State
from nightdrop.db.models.districts import District


class Delivery(models.Model):
    """A sealed epoch. Its `id` is the seal's UUID; its epoch's name may repeat.

    PII: the groups of findings quote cells, shortened; removed with the delivery.
    """

    id = models.UUIDField(primary_key=True)
    district = models.ForeignKey(District, on_delete=models.CASCADE)
    epoch = models.CharField(max_length=15)
    #: COMPLETE or CHECK.
    marker = models.CharField(max_length=8)
    #: sftp, auto, web, pull or api.
    source = models.CharField(max_length=8)
    #: The SFTP session that wrote the marker, and the key that had signed for it.
    session = models.UUIDField(null=True)
    fingerprint = models.CharField(max_length=64, null=True)
    #: By the clock of the file system that holds the tree.
    sealed_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State])
    state_since = models.DateTimeField()
    #: How often a worker has started the present step.
    attempts = models.IntegerField(default=0)
    format = models.CharField(max_length=32, null=True)
    #: [{"name", "size_bytes", "sha256", "rows"}], without the marker.
    files = models.JSONField(default=list)
    #: Files whose last handle was closed after the marker's.
    late_files = ArrayField(models.TextField(), default=list)
    #: What a dry run would have become: loaded, held, rejected or unrecognised.
    would = models.CharField(max_length=16, null=True)
    #: {table: {"added", "updated", "deleted", "unchanged", "faulty"}}.
    counts = models.JSONField(default=dict)
    #: {"blocking", "error", "remark"}.
    finding_counts = models.JSONField(default=dict)
    #: Findings grouped by cause, as `delivery show --json` gives them.
    finding_groups = models.JSONField(default=list)
    hold_reasons = ArrayField(models.CharField(max_length=64), default=list)
    #: When a `ready` delivery may be loaded; a nightly district's waits for its night.
    due_at = models.DateTimeField(null=True)
    #: From this time on the epoch may leave /upload: its session has ended, or had time to.
    settles_at = models.DateTimeField()
    #: Name of its directory in /upload-processed.
    processed_name = models.CharField(max_length=32, null=True)
    #: When the epoch had been moved, or the delivery had come to rest where it is.
    finished_at = models.DateTimeField(null=True)

    class Meta:
        """The table."""

        db_table = "delivery"
        indexes = [
            models.Index(fields=["district", "-sealed_at", "-id"], name="delivery_newest"),
            models.Index(
                fields=["district"],
                condition=models.Q(finished_at__isnull=True),
                name="delivery_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Transition(models.Model):
    """One move of a delivery from state to state. No PII."""

    id = models.BigAutoField(primary_key=True)
    district = models.ForeignKey(District, on_delete=models.CASCADE)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, db_index=False)
    before = models.CharField(max_length=16)
    event = models.CharField(max_length=32)
    after = models.CharField(max_length=16)
    at = models.DateTimeField()
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        """The table."""

        db_table = "transition"
        indexes = [models.Index(fields=["delivery", "id"], name="transition_order")]

    def __str__(self) -> str:
        return f"{self.before} -> {self.after}"


class StoredFinding(models.Model):
    """One finding of a delivery. PII: facts may quote a cell; removed with the delivery."""

    id = models.BigAutoField(primary_key=True)
    district = models.ForeignKey(District, on_delete=models.CASCADE)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, db_index=False)
    code = models.CharField(max_length=64)
    severity = models.CharField(max_length=8)
    #: The file's name; for the delivery itself, its marker or its epoch.
    file = models.TextField()
    line = models.IntegerField(null=True)
    column = models.TextField(null=True)
    facts = models.JSONField(default=dict)

    class Meta:
        """The table."""

        db_table = "finding"
        indexes = [models.Index(fields=["delivery", "id"], name="finding_order")]

    def __str__(self) -> str:
        return f"{self.code} {self.file}:{self.line}"


class Change(models.Model):
    """What a load changed of one record, as it was before. PII: a whole roster row.

    An added row is marked by its own `added_by`; "after" is the next change's before,
    or the row as it stands.
    """

    id = models.BigAutoField(primary_key=True)
    district = models.ForeignKey(District, on_delete=models.CASCADE)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, db_index=False)
    table_name = models.CharField(max_length=32)
    #: updated or deleted.
    operation = models.CharField(max_length=8)
    record_key = models.JSONField()
    before = models.JSONField()

    class Meta:
        """The table."""

        db_table = "change"
        indexes = [models.Index(fields=["delivery", "id"], name="change_order")]

    def __str__(self) -> str:
        return f"{self.table_name} {self.operation}"
