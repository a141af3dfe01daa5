# SPDX-License-Identifier: Apache-2.0
"""Operators never get in with a password alone."""

from collections.abc import Callable

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import decrypt
from django.conf import settings
from django.contrib.auth import SESSION_KEY

from nightdrop.db.models import Person
from web.cast import PASSWORD, Browse, code_for

ACTIVATE = "/account/factors/app/activate/"


def test_an_operator_without_a_factor_is_sent_to_set_one_up(
    browse: Browse, make_person: Callable[..., Person]
) -> None:
    client = browse(make_person("olu@example.org", is_operator=True))
    for path in ("/", "/account/password/", "/account/factors/codes/"):
        assert client.get(path)["Location"] == ACTIVATE
    assert client.get("/account/logout/").status_code == 200


def test_a_person_who_is_no_operator_may_do_without(browse: Browse, person: Person) -> None:
    assert browse(person).get("/").status_code == 200


def test_an_operator_sets_up_an_app_and_signs_in_with_it(
    browse: Browse, make_person: Callable[..., Person]
) -> None:
    olu = make_person("olu@example.org", is_operator=True)
    client = browse()
    client.post("/account/login/", {"login": olu.email, "password": PASSWORD})
    page = client.get(ACTIVATE)
    assert "data:image/svg+xml" in page.content.decode()
    secret = page.context["form"].secret
    assert client.post(ACTIVATE, {"code": "000000"}).status_code == 200
    done = client.post(ACTIVATE, {"code": code_for(secret)})
    assert done["Location"] == "/account/factors/codes/"
    assert "Unused codes" in client.get("/account/factors/codes/").content.decode()
    assert client.get("/").status_code == 200

    another = browse()
    asked = another.post("/account/login/", {"login": olu.email, "password": PASSWORD})
    assert asked["Location"] == "/account/factors/authenticate/"
    assert SESSION_KEY not in another.session
    assert another.get("/").status_code == 302
    wrong = another.post("/account/factors/authenticate/", {"code": "000000"})
    assert "Incorrect code" in wrong.content.decode()
    codes = Authenticator.objects.get(type=Authenticator.Type.RECOVERY_CODES).wrap()
    code = codes.get_unused_codes()[0]
    assert another.post("/account/factors/authenticate/", {"code": code})["Location"] == "/"
    assert another.get("/").status_code == 200


def test_removing_the_app_closes_everything_but_setting_up_another(
    browse: Browse, operator: Person
) -> None:
    client = browse(operator)
    Authenticator.objects.filter(type=Authenticator.Type.TOTP).delete()
    assert client.get("/")["Location"] == ACTIVATE


def test_a_factor_is_not_removed_without_the_password(browse: Browse, operator: Person) -> None:
    """A session that did not begin just now asks for it."""
    client = browse(operator)
    asked = client.post("/account/factors/app/remove/")
    assert asked["Location"].startswith("/account/reauthenticate/")
    assert Authenticator.objects.filter(user=operator).exists()
    asked = client.post("/account/reauthenticate/?next=/", {"password": "wrong"})
    assert asked.status_code == 200


def test_secrets_are_useless_without_the_key_of_the_installation(operator: Person) -> None:
    stored = Authenticator.objects.get(user=operator, type=Authenticator.Type.TOTP)
    assert settings.SECRET_KEY not in str(stored.data)
    assert stored.data["secret"].startswith("gAAAA")
    assert stored.wrap().validate_code(code_for(decrypt(stored.data["secret"])))
