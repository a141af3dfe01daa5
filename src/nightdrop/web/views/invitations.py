# SPDX-License-Identifier: Apache-2.0
"""The page behind an invitation's link."""

from datetime import UTC, datetime

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from nightdrop.db.models import Person
from nightdrop.services.people import InvitationForSomebodyElse, accept_as, open_invitation
from nightdrop.web.account_adapter import remember_invitation


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Lead somebody new to sign-up, and somebody known to accept after signing in.

    Opening the link changes nothing but the visitor's own session.
    """
    now = datetime.now(UTC)
    opened = open_invitation(token, now=now)
    if not isinstance(request.user, Person):
        if opened.is_known:
            return redirect_to_login(request.path)
        remember_invitation(request, opened)
        return redirect("account_signup")
    if request.user.email != opened.email:
        raise InvitationForSomebodyElse(opened.email)
    if request.method == "POST":
        accept_as(request.user.id, invitation=opened.id, now=now)
        messages.success(request, _("You are now an operator of this installation."))
        return redirect("home")
    return render(request, "web/invitation.html", {"invitation": opened})
