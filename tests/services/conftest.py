# SPDX-License-Identifier: Apache-2.0
"""What tests of the services may ask for."""

import pytest

from fix_night import Nights
from nightdrop.db.models import District
from nightdrop.storage.tree import Tree


@pytest.fixture
def nights(apple: District, tree: Tree) -> Nights:
    """The nights of Apple Grove."""
    return Nights(apple.id, tree)


@pytest.fixture
def strangers_nights(birch: District, tree: Tree) -> Nights:
    """The nights of Birch Hill."""
    return Nights(birch.id, tree)
