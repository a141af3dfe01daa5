# SPDX-License-Identifier: Apache-2.0
"""People who sign in, and invitations to do so. These tables belong to no district."""

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class PersonManager(BaseUserManager["Person"]):
    """Makes people; their e-mail address is compared without case."""

    def get_by_natural_key(self, username: str | None) -> "Person":
        """Return the person with this e-mail address, whatever its case."""
        return self.get(email=(username or "").lower())


class Person(AbstractBaseUser):
    """Somebody who signs in. PII: e-mail and name; removed with the account."""

    id = models.UUIDField(primary_key=True)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True)
    is_operator = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[PersonManager] = PersonManager()

    class Meta:
        """The table."""

        db_table = "person"

    def __str__(self) -> str:
        return str(self.id)


class Invitation(models.Model):
    """A link that lets one person make an account. PII: e-mail; removed when it expires."""

    id = models.UUIDField(primary_key=True)
    #: SHA-256 of the token in the link, in hex; the token itself is never stored.
    token_hash = models.CharField(max_length=64, unique=True)
    email = models.EmailField()
    is_operator = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        """The table."""

        db_table = "invitation"

    def __str__(self) -> str:
        return str(self.id)
