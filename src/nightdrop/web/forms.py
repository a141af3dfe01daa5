# SPDX-License-Identifier: Apache-2.0
"""The forms that differ from allauth's."""

from allauth.account.forms import SignupForm
from allauth.core import context
from django import forms
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from nightdrop.web.account_adapter import invitation_of


class InvitedSignupForm(SignupForm):  # type: ignore[misc] # allauth has no types
    """Makes an account from an invitation, whose address cannot be changed here."""

    name = forms.CharField(
        label=_("Your name"),
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    field_order = ("email", "name", "password1", "password2")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        invitation = invitation_of(context.request)
        # A disabled field takes its initial value, whatever the browser sends. Without an
        # invitation the page is closed before it comes to a form.
        self.fields["email"].disabled = True
        self.initial["email"] = invitation.email if invitation else None

    def save(self, request: HttpRequest) -> AbstractBaseUser:
        """Store the person and allauth's record of the address, both or neither."""
        with transaction.atomic():
            saved: AbstractBaseUser = super().save(request)
        return saved
