# SPDX-License-Identifier: Apache-2.0
"""Every table of Nightdrop's own. Rows of a district are reached through `db.access`."""

from nightdrop.db.models.audit import AuditEvent
from nightdrop.db.models.deliveries import Change, Delivery, StoredFinding, Transition
from nightdrop.db.models.districts import AccountKey, District
from nightdrop.db.models.people import Invitation, Person
from nightdrop.db.models.roster import Guardian, Student

__all__ = [
    "AccountKey",
    "AuditEvent",
    "Change",
    "Delivery",
    "District",
    "Guardian",
    "Invitation",
    "Person",
    "StoredFinding",
    "Student",
    "Transition",
]
