# SPDX-License-Identifier: Apache-2.0
"""Districts to test with: Apple Grove, and Birch Hill, who must never see it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from nightdrop.db.models import District
from nightdrop.services.districts import add_district
from nightdrop.storage.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty file tree."""
    made = Tree(tmp_path / "districts")
    made.prepare()
    return made


@pytest.fixture
def make_district(database: None, tree: Tree) -> Callable[[str], District]:
    """Make a district with its directories."""

    def make(username: str) -> District:
        return add_district(
            username,
            district=uuid4(),
            name=None,
            time_zone="America/New_York",
            nightly_at=None,
            is_nightly=False,
            tree=tree,
        )

    return make


@pytest.fixture
def apple(make_district: Callable[[str], District]) -> District:
    """Apple Grove."""
    return make_district("applegrove.org")


@pytest.fixture
def birch(make_district: Callable[[str], District]) -> District:
    """Birch Hill, a stranger to Apple Grove."""
    return make_district("birchhill.org")


def moment() -> datetime:
    """Return the time now; tests are an edge."""
    return datetime.now(UTC)
