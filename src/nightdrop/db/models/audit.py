# SPDX-License-Identifier: Apache-2.0
"""What was done and tried, shipped from the nodes' journals."""

from django.db import models


class AuditEvent(models.Model):
    """One event. `district_id` is empty for names nobody has. PII: addresses, file names."""

    #: Given when the event was journaled; shipping it again changes nothing.
    id = models.UUIDField(primary_key=True)
    district_id = models.UUIDField(null=True)
    session = models.UUIDField(null=True)
    at = models.DateTimeField()
    kind = models.CharField(max_length=32)
    facts = models.JSONField(default=dict)

    class Meta:
        """The table."""

        db_table = "audit_event"
        indexes = [models.Index(fields=["district_id", "-at"], name="audit_newest")]

    def __str__(self) -> str:
        return self.kind
