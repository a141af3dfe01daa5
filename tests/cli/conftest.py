# SPDX-License-Identifier: Apache-2.0
"""A home for a `serve` of a test's own, and what starts one there."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli.serving import Served
from nightdrop.db.embedded import EmbeddedPostgres


@pytest.fixture
def home() -> Iterator[Path]:
    """Make room for a home whose parents are open, as those of pytest's directories are not."""
    made = Path(tempfile.mkdtemp(prefix="nightdrop-test-"))
    made.chmod(0o777)
    yield made / "home"
    for name in ("home", "other"):
        EmbeddedPostgres(made / name).stop()
    shutil.rmtree(made)


@pytest.fixture
def served(home: Path) -> Iterator[Served]:
    """Return what starts `serve`; whatever it started is killed after the test."""
    with ExitStack() as stack:
        yield Served(home, stack)
