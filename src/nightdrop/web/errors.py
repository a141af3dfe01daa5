# SPDX-License-Identifier: Apache-2.0
"""The one table from a refusal to what the reader of a page sees."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from nightdrop.core.errors import Refusal
from nightdrop.services.people import (
    InvitationExpired,
    InvitationForSomebodyElse,
    InvitationUnknown,
    InvitationUsed,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says of a refusal: which rule refused, and what to do.

    `{name}` in `text` stands for the refusal's attribute of that name.
    """

    status: HTTPStatus
    title: str | Promise
    text: str | Promise


_ANSWERS: Final[Mapping[type[Refusal], Answer]] = {
    InvitationUnknown: Answer(
        HTTPStatus.NOT_FOUND,
        _("This invitation is not known"),
        _(
            "The link may be incomplete: copy all of it, to the last character. A newer"
            " invitation replaces an older one, so use the link that came last."
        ),
    ),
    InvitationUsed: Answer(
        HTTPStatus.GONE,
        _("This invitation has been used"),
        _(
            "It was accepted on {used_at:%Y-%m-%d}, and each link works once. If that was"
            " you, sign in; if not, tell whoever sent it at once."
        ),
    ),
    InvitationExpired: Answer(
        HTTPStatus.GONE,
        _("This invitation has expired"),
        _("It could be accepted until {expired_at:%Y-%m-%d}. Ask whoever sent it for a new one."),
    ),
    InvitationForSomebodyElse: Answer(
        HTTPStatus.FORBIDDEN,
        _("This invitation is for somebody else"),
        _("It is for {email}. Sign out, then open the link again."),
    ),
}


def answer_to(refusal: Refusal) -> tuple[Answer, str]:
    """Return what to show for a refusal, and its text with the refusal's facts in it.

    Raises: KeyError for a refusal that the table lacks, which is a fault of ours.
    """
    answer = _ANSWERS[type(refusal)]
    return answer, str(answer.text).format_map(vars(refusal))
