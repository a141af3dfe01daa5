# SPDX-License-Identifier: Apache-2.0
"""Districts and the keys that are installed on their accounts."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class District(models.Model):
    """A tenant. Its `username` is the name of its SFTP account. No PII."""

    class Mode(models.TextChoices):
        """When a checked delivery is loaded."""

        IMMEDIATE = "immediate"
        NIGHTLY = "nightly"

    id = models.UUIDField(primary_key=True)
    #: Lower case; usually the district's domain, such as applegrove.org.
    username = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64)
    mode = models.CharField(max_length=16, choices=Mode, default=Mode.IMMEDIATE)
    #: Local time of day at which a nightly district's deliveries are loaded.
    nightly_at = models.TimeField(null=True)
    suspended_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    #: What it may have in /upload; null where the settings say that for all.
    quota_bytes = models.BigIntegerField(null=True)
    quota_files = models.BigIntegerField(null=True)

    class Meta:
        """The table."""

        db_table = "district"

    def __str__(self) -> str:
        return self.username


class AccountKey(models.Model):
    """A public key on a district's account. PII: the label may name its owner."""

    id = models.UUIDField(primary_key=True)
    district = models.ForeignKey(District, on_delete=models.CASCADE)
    #: "SHA256:" and 43 characters, as ssh-keygen -l prints it.
    fingerprint = models.CharField(max_length=64)
    type = models.CharField(max_length=64)
    bits = models.IntegerField()
    #: The public key in SSH wire form.
    blob = models.BinaryField()
    label = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField(null=True)
    #: Networks in CIDR form from which the key may be used; empty means any.
    networks = ArrayField(models.CharField(max_length=64), default=list)
    added_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        """The table."""

        db_table = "account_key"
        constraints = [
            models.UniqueConstraint(
                fields=["district", "fingerprint"],
                condition=models.Q(revoked_at__isnull=True),
                name="account_key_once",
            ),
        ]

    def __str__(self) -> str:
        return self.fingerprint
