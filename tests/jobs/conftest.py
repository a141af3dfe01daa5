# SPDX-License-Identifier: Apache-2.0
"""A worker that does what waits, on the tree that its tasks find by the settings."""

from collections.abc import Callable

import pytest
from procrastinate.contrib.django import app
from procrastinate.contrib.django.django_connector import DjangoConnector

from fix_night import Nights, QueuedJob, jobs
from nightdrop.config import load_config
from nightdrop.db.models import District
from nightdrop.jobs.main import CONCURRENCY, preload_worker
from nightdrop.storage.tree import Tree


@pytest.fixture
def tree() -> Tree:
    """The tree of this run's home."""
    made = Tree(load_config().tree)
    made.prepare()
    return made


@pytest.fixture
def nights(apple: District, tree: Tree) -> Nights:
    """The nights of Apple Grove."""
    return Nights(apple.id, tree)


@pytest.fixture
def strangers_nights(birch: District, tree: Tree) -> Nights:
    """The nights of Birch Hill."""
    return Nights(birch.id, tree)


@pytest.fixture
def work(database: None) -> Callable[[], None]:
    """Work like `nightdrop worker` until nothing changes any more."""
    preload_worker()

    def run() -> None:
        # A worker that does not wait for news ends while its last job may still cause others.
        before: list[QueuedJob] | None = None
        while (now := jobs()) != before:
            _run_worker()
            before = now

    return run


def _run_worker() -> None:
    connector = app.connector
    assert isinstance(connector, DjangoConnector)
    with app.replace_connector(connector.get_worker_connector()):
        app.run_worker(
            wait=False,
            concurrency=CONCURRENCY,
            delete_jobs="successful",
            listen_notify=False,
            install_signal_handlers=False,
        )
