# SPDX-License-Identifier: Apache-2.0
"""The only way to an account."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.db import connection

from nightdrop.db.models import Invitation, Person
from nightdrop.services.people import (
    AlreadyOperator,
    InvitationUsed,
    NotAnEmail,
    accept_invitation,
    invite_operator,
)
from web.cast import PASSWORD, Browse, Invite

SIGNUP = "/account/signup/"
FORM = {"name": "Noor Example", "password1": PASSWORD, "password2": PASSWORD}


@pytest.mark.django_db
def test_sign_up_is_closed_to_strangers(browse: Browse) -> None:
    client = browse()
    assert "By invitation only" in client.get(SIGNUP).content.decode()
    answer = client.post(SIGNUP, FORM | {"email": "stranger@example.org"})
    assert "By invitation only" in answer.content.decode()
    assert not Person.objects.exists()


def test_an_invitation_makes_an_operator_who_then_sets_up_a_factor(
    browse: Browse, invite: Invite
) -> None:
    client = browse()
    link = invite("Noor@Example.org")
    assert client.get(link)["Location"] == SIGNUP
    assert 'value="noor@example.org"' in client.get(SIGNUP).content.decode()
    assert client.post(SIGNUP, FORM).status_code == 302
    noor = Person.objects.get()
    assert (noor.email, noor.name, noor.is_operator) == ("noor@example.org", "Noor Example", True)
    assert EmailAddress.objects.get().verified
    assert client.get("/")["Location"] == "/account/factors/app/activate/"
    # The password was typed seconds ago and is not asked for again.
    assert client.get("/account/factors/app/activate/").status_code == 200


def test_the_address_of_an_invitation_cannot_be_changed(browse: Browse, invite: Invite) -> None:
    client = browse()
    client.get(invite("noor@example.org"))
    client.post(SIGNUP, FORM | {"email": "somebody-else@example.org"})
    assert Person.objects.get().email == "noor@example.org"


def test_a_weak_password_makes_no_account_and_leaves_the_link_alone(
    browse: Browse, invite: Invite
) -> None:
    client = browse()
    client.get(invite("noor@example.org"))
    weak = {"name": "Noor", "password1": "noor@example", "password2": "noor@example"}
    assert "too similar" in client.post(SIGNUP, weak).content.decode()
    assert not Person.objects.exists()
    assert client.post(SIGNUP, FORM).status_code == 302


def test_opening_a_link_does_not_use_it_up(browse: Browse, invite: Invite) -> None:
    """Mail scanners follow links."""
    link = invite("noor@example.org")
    for _ in range(3):
        assert browse().get(link).status_code == 302
    assert Invitation.objects.get().used_at is None


def test_a_link_works_once(browse: Browse, invite: Invite) -> None:
    link = invite("noor@example.org")
    client = browse()
    client.get(link)
    client.post(SIGNUP, FORM)
    again = browse().get(link)
    assert again.status_code == 410
    assert "has been used" in again.content.decode()
    assert f"{datetime.now(UTC):%Y-%m-%d}" in again.content.decode()


def test_two_browsers_with_one_link_make_one_account(browse: Browse, invite: Invite) -> None:
    link = invite("noor@example.org")
    first, second = browse(), browse()
    first.get(link)
    second.get(link)
    first.post(SIGNUP, FORM)
    assert "By invitation only" in second.post(SIGNUP, FORM).content.decode()
    assert Person.objects.count() == 1


def test_a_link_survives_a_summer_and_not_more(browse: Browse, invite: Invite) -> None:
    still = invite("noor@example.org", age=timedelta(days=89))
    assert browse().get(still).status_code == 302
    late = invite("noor@example.org", age=timedelta(days=90))
    answer = browse().get(late)
    assert answer.status_code == 410
    assert "has expired" in answer.content.decode()


@pytest.mark.django_db
def test_a_link_that_nobody_made_is_not_known(browse: Browse) -> None:
    answer = browse().get("/invitations/abc")
    assert answer.status_code == 404
    assert "copy all of it" in answer.content.decode()


def test_a_newer_invitation_replaces_the_older(browse: Browse, invite: Invite) -> None:
    old, new = invite("noor@example.org"), invite("noor@example.org")
    assert browse().get(old).status_code == 404
    assert browse().get(new).status_code == 302


def test_the_token_is_not_stored(invite: Invite) -> None:
    token = invite("noor@example.org").rpartition("/")[2]
    assert token not in str(Invitation.objects.values().get())


def test_a_known_person_signs_in_to_become_an_operator(
    browse: Browse, invite: Invite, person: Person
) -> None:
    link = invite(person.email)
    assert browse().get(link)["Location"] == f"/account/login/?next={link}"
    client = browse(person)
    assert "Become an operator" in client.get(link).content.decode()
    assert client.post(link)["Location"] == "/"
    person.refresh_from_db()
    assert person.is_operator
    assert browse().get(link).status_code == 410


def test_a_link_for_somebody_else_is_refused(
    browse: Browse, invite: Invite, person: Person
) -> None:
    link = invite("noor@example.org")
    for answer in (browse(person).get(link), browse(person).post(link)):
        assert answer.status_code == 403
        assert "noor@example.org" in answer.content.decode()
    person.refresh_from_db()
    assert not person.is_operator


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", "olu", "olu@", "olu@example.org, ada@example.org"])
def test_what_is_no_address_is_not_invited(text: str) -> None:
    with pytest.raises(NotAnEmail) as refusal:
        invite_operator(text, invitation=uuid4(), token="t", now=datetime.now(UTC))  # noqa: S106
    assert refusal.value.text == text


def test_an_operator_is_not_invited_again(operator: Person) -> None:
    with pytest.raises(AlreadyOperator):
        invite_operator(
            operator.email.upper(), invitation=uuid4(), token=uuid4().hex, now=datetime.now(UTC)
        )


def test_two_acceptances_at_once_make_one_account(database: None) -> None:
    """The second waits for the first one's row lock and then finds the link used."""
    invitation, now = uuid4(), datetime.now(UTC)
    invite_operator("noor@example.org", invitation=invitation, token=uuid4().hex, now=now)
    start = threading.Barrier(2)
    outcomes: list[object] = []

    def accept() -> None:
        start.wait(timeout=10)
        try:
            outcomes.append(
                accept_invitation(
                    invitation, person=uuid4(), name="Noor", password=PASSWORD, now=now
                )
            )
        except InvitationUsed as refusal:
            outcomes.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=accept) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["InvitationUsed", "Person"]
    assert Person.objects.count() == 1
