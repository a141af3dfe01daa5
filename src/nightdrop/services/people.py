# SPDX-License-Identifier: Apache-2.0
"""Who may sign in: inviting somebody, and accepting an invitation.

There is no other way in: nobody signs up unasked. The token of an invitation is known to
its reader alone; the database keeps a hash of it. An invitation names one e-mail address,
and holding the link proves that address, since that is where it was sent.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import ClassVar, Final
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from nightdrop.core.errors import Refusal
from nightdrop.db.models import Invitation, Person

#: How long a link works: it has to survive a summer.
INVITATION_AGE: Final = timedelta(days=90)


class NotAnEmail(Refusal):
    """A text is no e-mail address."""

    code: ClassVar[str] = "not-an-email"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class AlreadyOperator(Refusal):
    """The person with this address is an operator already."""

    code: ClassVar[str] = "already-operator"

    def __init__(self, email: str) -> None:
        super().__init__(email)
        self.email = email


class InvitationUnknown(Refusal):
    """No invitation has this token; it may have been replaced by a newer one."""

    code: ClassVar[str] = "invitation-unknown"


class InvitationUsed(Refusal):
    """The invitation has been accepted before."""

    code: ClassVar[str] = "invitation-used"

    def __init__(self, used_at: datetime) -> None:
        super().__init__(used_at)
        self.used_at = used_at


class InvitationExpired(Refusal):
    """The invitation was not accepted in time."""

    code: ClassVar[str] = "invitation-expired"

    def __init__(self, expired_at: datetime) -> None:
        super().__init__(expired_at)
        self.expired_at = expired_at


class InvitationForSomebodyElse(Refusal):
    """The invitation is for another address than that of the person who opens it."""

    code: ClassVar[str] = "invitation-for-somebody-else"

    def __init__(self, email: str) -> None:
        super().__init__(email)
        self.email = email


@dataclass(frozen=True, slots=True)
class OpenInvitation:
    """An invitation that can be accepted now.

    `is_known` says whether a person with this address exists, who then signs in to accept.
    """

    id: UUID
    email: str
    is_operator: bool
    is_known: bool


def invite_operator(email: str, *, invitation: UUID, token: str, now: datetime) -> str:
    """Invite somebody to run this installation.

    An earlier invitation of the same address stops working: only the newest link counts.

    Shape:   `token` is secret, unguessable and fit for a URL, as `secrets.token_urlsafe`
             makes it; it is not stored.
    Returns: the path of the link, such as ``/invitations/NrIu3...``.
    Raises:  NotAnEmail; AlreadyOperator.
    """
    address = _read_email(email)
    with transaction.atomic():
        if Person.objects.filter(email=address, is_operator=True).exists():
            raise AlreadyOperator(address)
        Invitation.objects.filter(email=address, used_at=None).delete()
        Invitation.objects.create(
            id=invitation,
            token_hash=_hash_token(token),
            email=address,
            is_operator=True,
            created_at=now,
            expires_at=now + INVITATION_AGE,
        )
    return f"/invitations/{token}"


def open_invitation(token: str, *, now: datetime) -> OpenInvitation:
    """Look at an invitation without accepting it: mail scanners follow links.

    Raises:  InvitationUnknown; InvitationUsed; InvitationExpired.
    """
    found = Invitation.objects.filter(token_hash=_hash_token(token)).first()
    return _opened(_check_acceptable(found, now=now))


def find_open_invitation(invitation: UUID, *, now: datetime) -> OpenInvitation | None:
    """Return an invitation that was opened earlier; None when it cannot be accepted now."""
    found = Invitation.objects.filter(id=invitation).first()
    try:
        return _opened(_check_acceptable(found, now=now))
    except Refusal:
        return None


def accept_invitation(
    invitation: UUID, *, person: UUID, name: str, password: str, now: datetime
) -> Person:
    """Make the account of somebody new.

    1. Take the invitation's row lock, so that a link is accepted once.
    2. Make the person, with the rights that the invitation gives.
    3. Mark the invitation as used.

    Raises:  InvitationUnknown; InvitationUsed; InvitationExpired.
    """
    # Hashing takes a tenth of a second on purpose; no lock is held meanwhile.
    password_hash = make_password(password)
    with transaction.atomic():
        locked = _lock(invitation, now=now)
        made = Person.objects.create(
            id=person,
            email=locked.email,
            name=name.strip(),
            password=password_hash,
            is_operator=locked.is_operator,
            created_at=now,
        )
        _mark_used(locked, now=now)
    return made


def accept_as(person: UUID, *, invitation: UUID, now: datetime) -> None:
    """Give somebody who has an account the rights of an invitation.

    Raises:  InvitationUnknown; InvitationUsed; InvitationExpired;
             InvitationForSomebodyElse, when the address is not the person's.
    """
    with transaction.atomic():
        locked = _lock(invitation, now=now)
        found = Person.objects.select_for_update().get(id=person)
        if found.email != locked.email:
            raise InvitationForSomebodyElse(locked.email)
        if locked.is_operator:
            found.is_operator = True
            found.save(update_fields=["is_operator"])
        _mark_used(locked, now=now)


def _read_email(text: str) -> str:
    address = text.strip().lower()
    try:
        validate_email(address)
    except ValidationError:
        raise NotAnEmail(text) from None
    return address


def _hash_token(token: str) -> str:
    """Return what is stored of a token. It is random, so neither salt nor stretching adds."""
    return sha256(token.encode()).hexdigest()


def _lock(invitation: UUID, *, now: datetime) -> Invitation:
    locked = Invitation.objects.select_for_update().filter(id=invitation).first()
    return _check_acceptable(locked, now=now)


def _check_acceptable(found: Invitation | None, *, now: datetime) -> Invitation:
    if found is None:
        raise InvitationUnknown
    if found.used_at is not None:
        raise InvitationUsed(found.used_at)
    if found.expires_at <= now:
        raise InvitationExpired(found.expires_at)
    return found


def _opened(found: Invitation) -> OpenInvitation:
    return OpenInvitation(
        id=found.id,
        email=found.email,
        is_operator=found.is_operator,
        is_known=Person.objects.filter(email=found.email).exists(),
    )


def _mark_used(locked: Invitation, *, now: datetime) -> None:
    locked.used_at = now
    locked.save(update_fields=["used_at"])
