# SPDX-License-Identifier: Apache-2.0
"""A home of its own for each run of the suite, before anything reads a setting.

pytest loads this plugin first (`-p fix_home`): Django's settings read the configuration
when they are imported, and must never meet a developer's own home.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Not a setting: those begin with NIGHTDROP_, and unknown ones are refused.
RUN = "ND_TEST_RUN"


def _make_run() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="nd-test-"))
    # As root the embedded PostgreSQL runs as a user who must be able to pass through.
    directory.chmod(0o755)
    os.environ[RUN] = str(directory)
    for name in [name for name in os.environ if name.startswith("NIGHTDROP_")]:
        del os.environ[name]
    os.environ["NIGHTDROP_HOME"] = str(directory / "home")
    os.environ["NIGHTDROP_PUBLIC_HOST"] = "drop.example.org"
    os.environ["DJANGO_SETTINGS_MODULE"] = "nightdrop.site.settings"
    return directory


#: Workers of pytest-xdist inherit the controller's.
run_directory = Path(os.environ[RUN]) if RUN in os.environ else _make_run()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Make a directory that any user may pass through; pytest closes its own to others."""
    directory = Path(tempfile.mkdtemp(dir=run_directory))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the run's directory, unless a controller will."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(run_directory, ignore_errors=True)
