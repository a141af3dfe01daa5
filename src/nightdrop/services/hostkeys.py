# SPDX-License-Identifier: Apache-2.0
"""Who would be surprised if a host key retired."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Func, QuerySet, TextField, Value
from django.db.models.fields.json import KT

from nightdrop.core.events import EventKind
from nightdrop.db.access import all_districts, audit_events
from nightdrop.db.models import AuditEvent

#: The name of the program in what a client says of itself: SSH-2.0-OpenSSH_9.2p1 Debian-2.
_PROGRAM: Final = r"^SSH-[0-9.]+-([A-Za-z]+)"
#: What makes a client: its district, the key that it logs in with, its program.
_IDENTITY: Final = ("district_id", "key", "program")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that logs in with a key of a district, as it did last.

    `username` is the district's, `fingerprint` that of the key, `version` what the program
    says of itself. `knows_next`: it was given proof of the host key that will follow.
    """

    username: str
    fingerprint: str | None
    version: str | None
    last_at: datetime
    knows_next: bool


def find_clients(host_key: str, *, next_key: str, since: datetime) -> list[Client]:
    """Return the clients that met `host_key` at their last login, by user name.

    Both are fingerprints. The same program with the same key on two machines counts as one
    client: an address says little, for most change and many districts share one. An update
    of the program makes no other client of it.
    """
    lessons = audit_events(EventKind.HOST_KEY_LEARNED, since=since)
    lessons = lessons.filter(facts__host_keys__contains=[next_key])
    knowing = set(_identified(lessons).values_list(*_IDENTITY))
    logins = _identified(audit_events(EventKind.LOGIN_ACCEPTED, since=since))
    last = logins.order_by(*_IDENTITY, "-at", "id").distinct(*_IDENTITY)
    usernames = {district.id: district.username for district in all_districts()}
    clients = [
        Client(
            username=usernames[district],
            fingerprint=key,
            version=facts.get("client"),
            last_at=at,
            knows_next=(district, key, program) in knowing,
        )
        for district, key, program, at, facts in last.values_list(*_IDENTITY, "at", "facts")
        if facts.get("host_key") == host_key and district in usernames
    ]
    return sorted(clients, key=lambda client: (client.username, client.version or ""))


def _identified(events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    text: TextField[str, str] = TextField()
    program = Func(KT("facts__client"), Value(_PROGRAM), function="substring", output_field=text)
    return events.annotate(key=KT("facts__fingerprint"), program=program)
