# SPDX-License-Identifier: Apache-2.0
"""What a reader is told when something goes wrong, and what the log keeps."""

import re
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from nightdrop.core.errors import Refusal
from nightdrop.db.models import Person
from nightdrop.services import people
from nightdrop.web import errors
from web.cast import Browse, Invite

LONG_AGO = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def test_a_page_that_is_not_there_says_so(browse: Browse, person: Person) -> None:
    response = browse(person).get("/nothing-here")
    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()


def test_a_fault_of_ours_shows_a_reference_that_the_log_explains(
    browse: Browse, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home page is made to fail by a fault planted in it."""
    client = browse(person)
    client.raise_request_exception = False
    monkeypatch.setattr("nightdrop.web.views.home._sftp_port", lambda _config: 1 / 0)
    with capture_logs() as logs:
        response = client.get("/")
    assert response.status_code == 500
    shown = re.search(r"<code>([0-9a-f]{8})</code>", response.content.decode())
    assert shown
    assert [entry["reference"] for entry in logs] == [shown[1]]
    assert logs[0]["view"] == "home"
    assert isinstance(logs[0]["exc_info"], ZeroDivisionError)


def test_the_log_never_holds_a_token(
    browse: Browse,
    invite: Invite,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = invite("noor@example.org")
    client = browse()
    client.raise_request_exception = False
    monkeypatch.setattr("nightdrop.web.views.invitations.remember_invitation", None)
    with capture_logs() as logs:
        assert client.get(link).status_code == 500
        assert client.get(f"{link}x").status_code == 404
    token = link.rpartition("/")[2]
    assert logs
    assert token not in repr([{**entry, "exc_info": None} for entry in logs])
    assert token not in caplog.text


@pytest.mark.parametrize(
    ("refusal", "fact"),
    [
        (people.InvitationUnknown(), "to the last character"),
        (people.InvitationUsed(LONG_AGO), "2026-01-02"),
        (people.InvitationExpired(LONG_AGO), "2026-01-02"),
        (people.InvitationForSomebodyElse("noor@example.org"), "noor@example.org"),
    ],
)
def test_a_refusal_is_explained_with_its_facts(refusal: Refusal, fact: str) -> None:
    _, text = errors.answer_to(refusal)
    assert fact in text
    assert "{" not in text


def test_every_refusal_that_a_page_can_meet_is_in_the_table() -> None:
    """Inviting is done on the command line, which has a table of its own."""
    of_pages = {
        refusal
        for refusal in vars(people).values()
        if isinstance(refusal, type)
        and issubclass(refusal, Refusal)
        and refusal.__name__.startswith("Invitation")
    }
    assert of_pages == set(errors._ANSWERS)
