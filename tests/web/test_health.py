# SPDX-License-Identifier: Apache-2.0
"""What monitors are told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test import Client
from pytest_django import DjangoDbBlocker

from nightdrop.storage.tree import Tree


def test_healthz_answers_any_host_without_touching_the_database() -> None:
    response = Client(SERVER_NAME="10.1.2.3").get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok\n")
    assert response["Cache-Control"] == "no-store"


@pytest.fixture
def shared_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the console a tree of its own, not yet prepared."""
    config = settings.NIGHTDROP.model_copy(update={"tree": tmp_path / "tree"})
    monkeypatch.setattr(settings, "NIGHTDROP", config)
    return tmp_path / "tree"


@pytest.mark.django_db
def test_readyz_answers_any_host_when_database_and_tree_are_there(shared_tree: Path) -> None:
    Tree(shared_tree).prepare()
    response = Client(SERVER_NAME="10.1.2.3").get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"database": "ok", "tree": "ok"}


@pytest.mark.django_db
def test_readyz_names_the_tree_that_is_away(shared_tree: Path) -> None:
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"database": "ok", "tree": "unreachable"}


@pytest.fixture
def database_away(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Let connections look for the database's socket where there is none."""
    with django_db_blocker.unblock():
        connections.close_all()
        wrapper = connections["default"]
        assert isinstance(wrapper, DatabaseWrapper)
        wrapper.close_pool()  # type: ignore[attr-defined] # not in the stubs
        with monkeypatch.context() as patch:
            patch.setitem(wrapper.settings_dict, "HOST", str(tmp_path))
            yield
            wrapper.close_pool()  # type: ignore[attr-defined] # not in the stubs


def test_readyz_names_the_database_that_is_away_and_no_more(
    database_away: None, shared_tree: Path
) -> None:
    Tree(shared_tree).prepare()
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"database": "unreachable", "tree": "ok"}


def test_pages_say_that_the_database_is_away(database_away: None) -> None:
    client = Client(SERVER_NAME="localhost", raise_request_exception=False)
    client.cookies["nightdrop_session"] = "x" * 32
    response = client.get("/")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert "The database is away" in response.content.decode()
