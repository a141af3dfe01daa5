# SPDX-License-Identifier: Apache-2.0
"""What tests of the intake may ask for."""

from pathlib import Path

import pytest

from fix_roster import Roster
from nightdrop.db.models import District


@pytest.fixture
def roster(apple: District, tmp_path: Path) -> Roster:
    """Apple Grove's roster, empty."""
    return Roster(apple.id, tmp_path)
