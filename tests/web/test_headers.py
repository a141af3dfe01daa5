# SPDX-License-Identifier: Apache-2.0
"""What every answer says to the browser, whatever page it is."""

import re
from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from nightdrop.db.models import Person
from web.cast import Browse, Invite
from web.test_permissions import TABLE

POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
}
#: Pages outside the table: health, failures, style sheet.
OTHERS = ("/healthz", "/readyz", "/nothing-here", "/invitations/abc")


@pytest.mark.parametrize("path", [*map(reverse, TABLE), *OTHERS])
def test_every_answer_has_the_strict_policy(
    path: str, browse: Browse, person: Person, operator: Person
) -> None:
    for somebody in (None, person, operator):
        response = browse(somebody).get(path)
        assert set(response["Content-Security-Policy"].split("; ")) == POLICY
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Referrer-Policy"] == "same-origin"
        _check_page(response.content.decode(), response["Content-Type"])


def _check_page(text: str, kind: str) -> None:
    """See that what the policy would forbid is not there to begin with."""
    if not text or not kind.startswith("text/html"):
        return
    assert '<html lang="en">' in text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    for script in re.findall(r"<script[^>]*>", text):
        assert "src=" in script or "application/json" in script
    for address in re.findall(r'(?:src|href|action)="([^"]*)"', text):
        assert address.startswith(("/", "#", "data:image/svg+xml")), address


def test_no_page_is_kept_by_a_shared_computer(browse: Browse, person: Person) -> None:
    assert "no-store" in browse(person).get("/")["Cache-Control"]
    assert "no-store" in browse().get("/account/login/")["Cache-Control"]


def test_the_style_sheet_may_be_kept_for_ever(browse: Browse) -> None:
    client = browse()
    page = client.get("/account/signup/") if settings.STATIC_ROOT.exists() else None
    assert page is not None
    found = re.search(r'href="(/static/web/nightdrop\.[0-9a-f]{12}\.css)"', page.content.decode())
    assert found
    sheet = client.get(found[1])
    assert sheet["Content-Type"].startswith("text/css")
    assert "immutable" in sheet["Cache-Control"]
    assert b"prefers-color-scheme" in b"".join(sheet)
    sheet.close()


@pytest.mark.django_db
def test_plain_http_is_for_this_machine_alone() -> None:
    refused = Client(SERVER_NAME="drop.example.org").get("/account/login/")
    assert refused.status_code == 403
    assert "https" in refused.content.decode()
    assert not refused.cookies


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_on_this_machine_cookies_come_back_without_tls(name: str) -> None:
    response = Client(SERVER_NAME=name).get("/account/login/")
    assert response.status_code == 200
    assert not response.cookies["nightdrop_csrf"]["secure"]


@pytest.mark.django_db
def test_over_tls_cookies_are_secure_and_the_name_is_pinned(
    make_person: Callable[..., Person],
) -> None:
    person = make_person("ada@applegrove.org")
    client = Client(SERVER_NAME="drop.example.org", headers={"X-Forwarded-Proto": "https"})
    client.force_login(person)
    response = client.get("/account/password/")
    assert response.status_code == 200
    assert response["Strict-Transport-Security"] == "max-age=31536000"
    cookie = response.cookies["nightdrop_csrf"]
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


@pytest.mark.django_db
def test_a_host_that_is_not_ours_is_refused() -> None:
    client = Client(SERVER_NAME="evil.example", raise_request_exception=False)
    response = client.get("/account/login/", secure=True)
    assert response.status_code == 400
    assert "NIGHTDROP_ALLOWED_HOSTS" in response.content.decode()
    assert response["Content-Security-Policy"]


def test_links_of_invitations_are_not_told_to_other_sites(browse: Browse, invite: Invite) -> None:
    response = browse().get(invite("noor@example.org"))
    assert response["Referrer-Policy"] == "same-origin"
    assert "no-store" in response["Cache-Control"]
