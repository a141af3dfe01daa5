# SPDX-License-Identifier: Apache-2.0
"""Two districts on a tree of their own, met in every way in which Nightdrop may run."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from nightdrop.storage.confine import Confinement, detect_confinement
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.tree import Tree

#: The owner of files that nobody else owns; for root it is the ordinary user of these tests.
NOBODY = 65534
USERS = ["root", "ordinary user"] if os.geteuid() == 0 else ["ordinary user"]
CONFINEMENTS = sorted({Confinement.WALK, detect_confinement()})


@pytest.fixture(params=USERS)
def ground(request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty directory of the user that the test runs as."""
    directory = Path(tempfile.mkdtemp(prefix="nd-tree-"))
    is_other = request.param == "ordinary user" and os.geteuid() == 0
    if is_other:
        os.chown(directory, NOBODY, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    yield directory
    if is_other:
        os.seteuid(0)
        os.setegid(0)
    for place, _, _ in os.walk(directory):
        Path(place).chmod(0o700)
    shutil.rmtree(directory)


@pytest.fixture(params=CONFINEMENTS)
def confinement(request: pytest.FixtureRequest) -> Confinement:
    """Each way to keep a path below its directory that this kernel has."""
    return Confinement(request.param)


@pytest.fixture
def tree(ground: Path, confinement: Confinement) -> Tree:
    """A tree with nobody in it."""
    tree = Tree(ground / "districts", confinement=confinement)
    tree.prepare()
    return tree


@pytest.fixture
def apple(tree: Tree) -> DistrictTree:
    """Apple Grove's files."""
    tree.add_district(UUID(int=1))
    return tree.district(UUID(int=1))


@pytest.fixture
def birch(tree: Tree) -> DistrictTree:
    """Birch Hill's, which Apple Grove must never see."""
    tree.add_district(UUID(int=2))
    return tree.district(UUID(int=2))
