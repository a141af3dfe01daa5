# SPDX-License-Identifier: Apache-2.0
"""The cast of the console's tests: nobody, a person, and an operator with a second factor."""

import fcntl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.test import Client

from fix_home import run_directory
from nightdrop.db.models import Person
from nightdrop.services.people import invite_operator
from nightdrop.web.static_files import publish_static_files
from web.cast import PASSWORD, Browse, Invite

LONG_AGO = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@pytest.fixture(scope="session", autouse=True)
def started_console() -> None:
    """Do what the start of the console does: have a secret key, publish the style sheet."""
    settings.SECRET_KEY = uuid4().hex
    published = run_directory / "static.published"
    with (run_directory / "static.lock").open("w") as lock:
        # Workers of pytest-xdist share the home: one publishes, the others read what it wrote.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not published.exists():
            publish_static_files()
            published.touch()


@pytest.fixture(scope="session")
def hashed_password() -> str:
    """Hash PASSWORD once: it takes a tenth of a second on purpose."""
    return make_password(PASSWORD)


@pytest.fixture
def make_person(db: None, hashed_password: str) -> Callable[..., Person]:
    """Make somebody who can sign in with PASSWORD."""

    def make(email: str, *, is_operator: bool = False, has_factor: bool = False) -> Person:
        person = Person.objects.create(
            id=uuid4(),
            email=email,
            name=email.partition("@")[0].title(),
            password=hashed_password,
            is_operator=is_operator,
            created_at=LONG_AGO,
        )
        EmailAddress.objects.create(user=person, email=email, verified=True, primary=True)
        if has_factor:
            TOTP.activate(person, generate_totp_secret())
            RecoveryCodes.activate(person)
        return person

    return make


@pytest.fixture
def person(make_person: Callable[..., Person]) -> Person:
    """Ada, who is no operator."""
    return make_person("ada@applegrove.org")


@pytest.fixture
def operator(make_person: Callable[..., Person]) -> Person:
    """Olu, an operator with an authenticator app."""
    return make_person("olu@example.org", is_operator=True, has_factor=True)


@pytest.fixture
def new_operator(make_person: Callable[..., Person]) -> Person:
    """Nia, an operator who has no second factor yet."""
    return make_person("nia@example.org", is_operator=True)


@pytest.fixture
def browse() -> Browse:
    """Open a browser on this machine, signed in as somebody or as nobody."""

    def opened(somebody: Person | None = None) -> Client:
        client = Client(SERVER_NAME="localhost")
        if somebody is not None:
            client.force_login(somebody)
        return client

    return opened


@pytest.fixture
def invite(db: None) -> Invite:
    """Invite somebody as an operator and return the path of the link."""

    def made(email: str, *, age: timedelta = timedelta()) -> str:
        now = datetime.now(UTC) - age
        return invite_operator(email, invitation=uuid4(), token=uuid4().hex, now=now)

    return made
