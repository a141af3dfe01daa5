# SPDX-License-Identifier: Apache-2.0
"""Making districts and changing them."""

import re
from collections.abc import Mapping
from datetime import datetime, time
from enum import StrEnum
from typing import ClassVar
from uuid import UUID
from zoneinfo import available_timezones

from django.db import IntegrityError, transaction

from nightdrop.core.errors import Refusal
from nightdrop.db.access import OPERATOR, find_district
from nightdrop.db.models import District
from nightdrop.storage.tree import Tree

#: A user name: what every SSH client, file name and URL carries unharmed.
USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


class Quota(StrEnum):
    """What a quota limits; each value is the column that keeps it."""

    BYTES = "quota_bytes"
    FILES = "quota_files"


class BadUsername(Refusal):
    """A text that cannot be the user name of an account."""

    code: ClassVar[str] = "bad-username"

    def __init__(self, username: str) -> None:
        super().__init__(username)
        self.username = username


class UsernameTaken(Refusal):
    """Another district has this user name."""

    code: ClassVar[str] = "username-taken"

    def __init__(self, username: str) -> None:
        super().__init__(username)
        self.username = username


class UnknownTimeZone(Refusal):
    """No time zone has this name."""

    code: ClassVar[str] = "unknown-time-zone"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class NightlyWithoutTime(Refusal):
    """A district that loads by night needs the time at which it does."""

    code: ClassVar[str] = "nightly-without-time"


def add_district(
    username: str,
    *,
    district: UUID,
    name: str | None,
    time_zone: str,
    nightly_at: time | None,
    is_nightly: bool,
    tree: Tree,
) -> District:
    """Make a district: its row and its directories.

    The row is committed when the directories are there, so that no account can be seen
    that has none; a crash in between leaves empty directories, which nobody looks at.
    Raises BadUsername, UsernameTaken, UnknownTimeZone, NightlyWithoutTime, OSError.
    """
    username = username.strip().lower()
    if not USERNAME.fullmatch(username):
        raise BadUsername(username)
    if time_zone not in available_timezones():
        raise UnknownTimeZone(time_zone)
    if is_nightly and nightly_at is None:
        raise NightlyWithoutTime
    try:
        with transaction.atomic(using=OPERATOR):
            made = District.objects.using(OPERATOR).create(
                id=district,
                username=username,
                name=name or username,
                time_zone=time_zone,
                mode=District.Mode.NIGHTLY if is_nightly else District.Mode.IMMEDIATE,
                nightly_at=nightly_at,
            )
            tree.add_district(district)
    except IntegrityError:
        raise UsernameTaken(username) from None
    return made


def set_quota(username: str, changes: Mapping[Quota, int | None]) -> District:
    """Change what a district may have in /upload; None means what the settings say for all.

    It holds at once, for sessions that are open as well. Raises UnknownDistrict.
    """
    district = find_district(username)
    for quota, value in changes.items():
        setattr(district, quota, value)
    district.save(using=OPERATOR, update_fields=[*changes])
    return district


def suspend_district(username: str, *, now: datetime | None) -> District:
    """Keep a district from logging in from `now` on; None lets it in again."""
    district = find_district(username)
    district.suspended_at = now
    district.save(using=OPERATOR, update_fields=["suspended_at"])
    return district
