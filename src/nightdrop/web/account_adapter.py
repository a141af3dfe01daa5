# SPDX-License-Identifier: Apache-2.0
"""Where Nightdrop's rules about accounts meet allauth's pages."""

import time
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from django.forms import Form
from django.http import HttpRequest, HttpResponseBase

from nightdrop.core.addresses import read_address
from nightdrop.db.models import Person
from nightdrop.services.people import OpenInvitation, accept_invitation, find_open_invitation

#: Session keys: the invitation that was opened; when this session signed in.
_INVITATION: Final = "invitation"
_SIGNED_IN_AT: Final = "signed_in_at"
#: How long a sign-in stands in for typing the password once more.
_FRESH_SECONDS: Final = 300


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc] # allauth has no types
    """Closes sign-up to everybody without an invitation."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say whether this session has opened an invitation that still stands."""
        return invitation_of(request) is not None

    def save_user(
        self,
        request: HttpRequest,
        user: Person,  # noqa: ARG002 - an unsaved one, which the invitation makes instead
        form: Form,
        commit: bool = True,  # noqa: ARG002, FBT001, FBT002 - allauth's signature
    ) -> Person:
        """Accept the invitation that this session has opened."""
        return accept_invitation(
            UUID(request.session.pop(_INVITATION)),
            person=uuid4(),
            name=form.cleaned_data["name"],
            password=form.cleaned_data["password1"],
            now=datetime.now(UTC),
        )

    def post_login(
        self, request: HttpRequest, user: Person, **how: object
    ) -> HttpResponseBase | None:
        """Remember when this session began."""
        request.session[_SIGNED_IN_AT] = time.time()
        answer: HttpResponseBase | None = super().post_login(request, user, **how)
        return answer

    def is_reauthentication_required(self, *, app: str, **rest: object) -> bool:
        """Count a fresh sign-in as good enough for sensitive pages.

        allauth does not, since it has ways in that are weaker than a password; here there
        are none, and an operator who sets up a first factor would have to type at once
        the password that was typed seconds ago.
        """
        began = context.request.session.get(_SIGNED_IN_AT, 0)
        if time.time() - began < _FRESH_SECONDS:
            return False
        return bool(super().is_reauthentication_required(app=app, **rest))

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that rate limits count by.

        Behind a proxy on this machine that is the last address that the proxy has added
        to X-Forwarded-For; from anywhere else the header proves nothing and is ignored.
        """
        peer = str(read_address(request.META["REMOTE_ADDR"]))
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if not forwarded or not read_address(peer).is_loopback:
            return peer
        try:
            return str(read_address(forwarded))
        except ValueError:
            return peer


def remember_invitation(request: HttpRequest, invitation: OpenInvitation) -> None:
    """Open sign-up to this session, for the invitation's address and no other."""
    request.session[_INVITATION] = str(invitation.id)
    AccountAdapter(request).stash_verified_email(request, invitation.email)


def invitation_of(request: HttpRequest) -> OpenInvitation | None:
    """Return the invitation that this session has opened, while it stands."""
    opened = request.session.get(_INVITATION)
    return find_open_invitation(UUID(opened), now=datetime.now(UTC)) if opened else None
