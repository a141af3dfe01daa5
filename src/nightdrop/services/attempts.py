# SPDX-License-Identifier: Apache-2.0
"""Who tried to log in to a district's account, and what came of it, from the audit's events."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from nightdrop.core.accounts import LoginFault
from nightdrop.core.events import JSON, Ending, EventKind
from nightdrop.db.access import in_district
from nightdrop.db.models import AuditEvent

#: Why a login failed, for the district's technician: what is wrong, and what to do. The first
#: of a connection's reasons, in this order, is told: it says most.
REFUSALS: Final[Mapping[LoginFault, str]] = {
    LoginFault.TOO_MANY_SESSIONS: "The account had as many sessions open as it may. Let the"
    " client close those that it no longer needs.",
    LoginFault.PENALISED: "Too many logins had failed from this address, so that it must wait"
    " before the next. That ends by itself; mend what failed before.",
    LoginFault.SUSPENDED: "The account is suspended. Ask whoever runs this service.",
    LoginFault.SNAPSHOT_TOO_OLD: "The server had been without its database for too long to let"
    " anybody in. Nothing is wrong on your side; try again later.",
    LoginFault.KEY_EXPIRED: "This key has expired. Install a new one.",
    LoginFault.WRONG_NETWORK: "This key may not be used from this address. Connect from a network"
    " that was named when it was installed, or install it for this one.",
    LoginFault.WEAK_SIGNATURE: "The client signed with SHA-1, which is no longer safe. Update the"
    " client, or use an ed25519 key.",
    LoginFault.BAD_SIGNATURE: "The client named an installed key and signed with another. Give it"
    " the private key that belongs to it.",
    LoginFault.GAVE_UP: "The client went away, or took too long, before it had proved that it has"
    " the private key. If that has a passphrase, load it into an agent.",
    LoginFault.UNKNOWN_KEY: "This key is not installed on the account. Install it, or let the"
    " client use one that is.",
    LoginFault.NO_KEY_OFFERED: "The client offered no key, and passwords are not accepted. Tell it"
    " which private key to use.",
    LoginFault.NO_COMMON_ALGORITHMS: "The client knows no encryption that is still safe. Update"
    " it, or ask whoever runs this service for the port for old clients.",
    LoginFault.UNKNOWN_USER: "No account has this name. See how it is written.",
}

#: How a connection ended that had logged in.
ENDINGS: Final[Mapping[Ending, str]] = {
    Ending.CLOSED: "The client ended it.",
    Ending.LOST: "The client left without a word, or the network broke.",
    Ending.ENDED: "The server ended it.",
    Ending.FAILED: "The client and the server no longer understood each other.",
}

_LOGINS: Final = (EventKind.LOGIN_ACCEPTED, EventKind.LOGIN_REFUSED)
#: More than one connection leaves: it has six tries, and is then told of once more at most.
_LOGINS_EACH: Final = 10
#: Events of one connection that are further apart are not brought together.
_LONGEST: Final = timedelta(days=1)
_ALGORITHMS: Final = ("kex", "cipher", "mac", "host_key_algorithm", "host_key", "profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTried:
    """A key that a client offered; `reason` is None for the one that opened the account."""

    fingerprint: str
    type: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One connection that asked for the account.

    `algorithms` has what was agreed on: `kex`, `cipher`, `mac`, `host_key_algorithm`, the
    fingerprint `host_key`, and the `profile` of the port. `reason` is a `LoginFault`, None when
    all was well; `sentence` says it to people. `ended_at` is None while it is connected, when
    it never was, and when its server was killed; `ending` is a sentence.
    """

    connection: UUID
    at: datetime
    username: str
    address: str
    client: str | None
    algorithms: Mapping[str, str]
    keys: Sequence[KeyTried]
    is_accepted: bool
    reason: str | None
    sentence: str
    ended_at: datetime | None
    ending: str | None


def list_attempts(district: UUID, *, since: datetime | None, limit: int) -> list[Attempt]:
    """Return the newest attempts to log in to a district's account, newest first."""
    with in_district(district):
        theirs = AuditEvent.objects.filter(district_id=district, session__isnull=False)
        logins = theirs.filter(kind__in=_LOGINS)
        if since is not None:
            logins = logins.filter(at__gte=since)
        newest = logins.order_by("-at").values_list("session", "at")[: limit * _LOGINS_EACH]
        seen: dict[UUID | None, datetime] = {}
        for session, at in newest:
            if session in seen or len(seen) < limit:
                seen[session] = at
        if not seen:
            return []
        found = theirs.filter(
            kind__in=(*_LOGINS, EventKind.DISCONNECTED),
            at__gte=min(seen.values()) - _LONGEST,
            session__in=list(seen),
        )
        events: dict[UUID, list[AuditEvent]] = defaultdict(list)
        for event in found.order_by("at"):
            if event.session is not None:
                events[event.session].append(event)
    attempts = [_read_attempt(session, each) for session, each in events.items()]
    return sorted(attempts, key=lambda attempt: attempt.at, reverse=True)


def explain_refusal(reason: str) -> str:
    """Return the sentence for a reason; one of a newer version has none."""
    for fault, sentence in REFUSALS.items():
        if fault == reason:
            return sentence
    return f"The login was refused ({reason})."


def explain_ending(facts: Mapping[str, JSON]) -> str:
    """Return the sentence for the facts of a `DISCONNECTED` event."""
    sentence = next((text for ending, text in ENDINGS.items() if ending == facts.get("reason")), "")
    told = facts.get("told")
    return f"{sentence} {told}" if told else sentence


def _read_attempt(connection: UUID, events: Sequence[AuditEvent]) -> Attempt:
    logins = [event for event in events if event.kind in _LOGINS]
    ends = [event for event in events if event.kind == EventKind.DISCONNECTED]
    accepted = [event for event in logins if event.kind == EventKind.LOGIN_ACCEPTED]
    # What was refused before the login, as keys are tried one after the other, is no fault.
    reasons = [
        str(event.facts.get("reason"))
        for event in logins
        if event.kind == EventKind.LOGIN_REFUSED and not (accepted and event.at < accepted[0].at)
    ]
    facts = (accepted or logins)[-1].facts
    reason = _most_telling(reasons)
    return Attempt(
        connection=connection,
        at=logins[0].at,
        username=str(facts.get("username")),
        address=str(facts.get("address")),
        client=facts.get("client"),
        algorithms={name: str(facts[name]) for name in _ALGORITHMS if facts.get(name)},
        keys=_read_keys(logins),
        is_accepted=bool(accepted),
        reason=reason,
        sentence="Logged in." if reason is None else explain_refusal(reason),
        ended_at=ends[0].at if ends else None,
        ending=explain_ending(ends[0].facts) if ends else None,
    )


def _most_telling(reasons: Sequence[str]) -> str | None:
    for fault in REFUSALS:
        if fault in reasons:
            return fault.value
    return reasons[-1] if reasons else None


def _read_keys(logins: Iterable[AuditEvent]) -> tuple[KeyTried, ...]:
    """Return the keys in the order in which they were tried, each with its last reason."""
    keys: dict[str, KeyTried] = {}
    for event in logins:
        fingerprint = event.facts.get("fingerprint")
        if fingerprint and event.facts.get("reason") != LoginFault.TOO_MANY_SESSIONS:
            keys[fingerprint] = KeyTried(
                fingerprint=fingerprint,
                type=event.facts.get("key_type"),
                reason=event.facts.get("reason"),
            )
    return tuple(keys.values())
