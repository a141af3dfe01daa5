# SPDX-License-Identifier: Apache-2.0
"""Every URL, and what each of the cast gets there. A new URL without a row fails."""

from http import HTTPStatus

import pytest
from django.urls import URLPattern, get_resolver, reverse

from nightdrop.db.models import Person
from web.cast import Browse, Invite

PAGE = HTTPStatus.OK
MOVED = HTTPStatus.FOUND
GONE = HTTPStatus.NOT_FOUND

LOGIN = "/account/login/"
FACTOR = "/account/factors/app/activate/"
AGAIN = "/account/reauthenticate/"

#: name -> what a GET answers nobody, a person, an operator without and with a factor.
#: A text is the path that the answer leads to.
TABLE: dict[str, tuple[HTTPStatus | str, HTTPStatus | str, HTTPStatus | str, HTTPStatus | str]] = {
    "home": (LOGIN, PAGE, FACTOR, PAGE),
    "account_login": (PAGE, "/", FACTOR, "/"),
    "account_logout": (LOGIN, PAGE, PAGE, PAGE),
    "account_signup": (PAGE, "/", FACTOR, "/"),
    "account_inactive": (PAGE, PAGE, FACTOR, PAGE),
    "account_reauthenticate": (LOGIN, PAGE, PAGE, PAGE),
    "account_change_password": (LOGIN, PAGE, FACTOR, PAGE),
    "mfa_index": (LOGIN, PAGE, PAGE, PAGE),
    "mfa_authenticate": (LOGIN, "/", FACTOR, "/"),
    "mfa_reauthenticate": (LOGIN, AGAIN, FACTOR, PAGE),
    "mfa_activate_totp": (LOGIN, AGAIN, AGAIN, AGAIN),
    "mfa_deactivate_totp": (LOGIN, GONE, FACTOR, AGAIN),
    "mfa_view_recovery_codes": (LOGIN, GONE, FACTOR, AGAIN),
    "mfa_generate_recovery_codes": (LOGIN, AGAIN, FACTOR, AGAIN),
    "mfa_download_recovery_codes": (LOGIN, GONE, FACTOR, AGAIN),
}


def test_every_url_has_a_row() -> None:
    """An invitation has a token in its path, and tests of its own."""
    patterns = get_resolver().url_patterns
    names = {pattern.name for pattern in patterns if isinstance(pattern, URLPattern)}
    assert len(names) == len(patterns)
    assert names == {*TABLE, "invitation"}


@pytest.mark.parametrize("name", TABLE)
def test_each_of_the_cast_gets_what_the_table_says(
    name: str,
    browse: Browse,
    person: Person,
    operator: Person,
    new_operator: Person,
) -> None:
    cast = (None, person, new_operator, operator)
    for somebody, expected in zip(cast, TABLE[name], strict=True):
        response = browse(somebody).get(reverse(name))
        if isinstance(expected, HTTPStatus):
            assert response.status_code == expected, somebody
        else:
            assert response.status_code == MOVED, somebody
            assert response["Location"].partition("?")[0] == expected, somebody


def test_an_operator_without_a_factor_opens_no_invitation(
    browse: Browse, invite: Invite, new_operator: Person
) -> None:
    assert browse(new_operator).get(invite("noor@example.org"))["Location"] == FACTOR
