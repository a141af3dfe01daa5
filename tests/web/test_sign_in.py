# SPDX-License-Identifier: Apache-2.0
"""Signing in with e-mail and password, and what the console says when it does not work."""

from typing import Any

import pytest
from django.test import Client

from nightdrop.db.models import Person
from web.cast import PASSWORD, Browse

LOGIN = "/account/login/"


def sign_in(client: Client, email: str, password: str = PASSWORD) -> Any:  # noqa: ANN401
    return client.post(LOGIN, {"login": email, "password": password})


def test_a_person_signs_in_and_is_greeted(browse: Browse, person: Person) -> None:
    client = browse()
    response = sign_in(client, "Ada@AppleGrove.org")
    assert (response.status_code, response["Location"]) == (302, "/")
    page = client.get("/").content.decode()
    assert "Hello, Ada" in page
    assert "Sign out" in page
    assert "drop.example.org" in page


def test_a_page_that_was_asked_for_comes_after_signing_in(browse: Browse, person: Person) -> None:
    client = browse()
    asked = client.get("/account/password/")
    assert asked["Location"] == f"{LOGIN}?next=/account/password/"
    data = {"login": person.email, "password": PASSWORD, "next": "/account/password/"}
    assert client.post(LOGIN, data)["Location"] == "/account/password/"


def test_another_site_is_never_next(browse: Browse, person: Person) -> None:
    data = {"login": person.email, "password": PASSWORD, "next": "https://evil.example/"}
    assert browse().post(LOGIN, data)["Location"] == "/"


@pytest.mark.parametrize("email", ["ada@applegrove.org", "nobody@applegrove.org"])
def test_a_wrong_password_and_an_unknown_address_look_the_same(
    browse: Browse, person: Person, email: str
) -> None:
    response = sign_in(browse(), email, "not the password")
    assert response.status_code == 200
    assert "are not correct" in response.content.decode()


def test_five_wrong_passwords_close_an_address_for_a_while(browse: Browse, person: Person) -> None:
    """From any number of places: the fifth comes from another network than the first."""
    for host in range(5):
        client = Client(SERVER_NAME="localhost", REMOTE_ADDR=f"192.0.2.{host}")
        assert "are not correct" in sign_in(client, person.email, "guess").content.decode()
    refused = sign_in(browse(), person.email)
    assert "Too many failed login attempts" in refused.content.decode()


def test_a_forged_forwarding_header_does_not_reset_the_count(
    browse: Browse, person: Person
) -> None:
    """Ten failures a minute from one address, whatever it says of itself."""
    said = ""
    for guess in range(12):
        client = Client(SERVER_NAME="localhost", REMOTE_ADDR="192.0.2.7")
        headers = {"X-Forwarded-For": f"198.51.100.{guess}"}
        data = {"login": f"n{guess}@example.org", "password": "guess"}
        said = client.post(LOGIN, data, headers=headers).content.decode()
    assert "Too many failed login attempts" in said


def test_a_proxy_on_this_machine_is_believed(browse: Browse, person: Person) -> None:
    """Behind it every client has an address of its own."""
    for guess in range(12):
        headers = {"X-Forwarded-For": f"203.0.113.9, 198.51.100.{guess}"}
        data = {"login": f"n{guess}@example.org", "password": "guess"}
        said = browse().post(LOGIN, data, headers=headers).content.decode()
        assert "are not correct" in said


def test_somebody_who_was_shut_out_does_not_come_in(browse: Browse, person: Person) -> None:
    client = browse(person)
    Person.objects.filter(id=person.id).update(is_active=False)
    assert client.get("/").status_code == 302
    assert client.get("/")["Location"].startswith(LOGIN)
    assert sign_in(browse(), person.email)["Location"] != "/"


def test_signing_out_takes_a_form_and_ends_the_session(browse: Browse, person: Person) -> None:
    client = browse(person)
    assert client.get("/account/logout/").status_code == 200
    assert client.get("/").status_code == 200
    assert client.post("/account/logout/")["Location"] == LOGIN
    assert client.get("/").status_code == 302


def test_a_form_without_its_cookie_is_explained(browse: Browse, person: Person) -> None:
    client = Client(SERVER_NAME="localhost", enforce_csrf_checks=True)
    response = sign_in(client, person.email)
    assert response.status_code == 403
    assert "gone stale" in response.content.decode()


def test_passwords_are_stored_with_argon2(browse: Browse, person: Person) -> None:
    person.refresh_from_db()
    assert person.password.startswith("argon2$argon2id$")
