# SPDX-License-Identifier: Apache-2.0
"""A console whose user cannot read the code's directory serves every page all the same."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from django.db import connection

from nightdrop.services.people import invite_operator
from web.cast import PASSWORD

SCRIPT = Path(__file__).with_name("far_from_home.py")


def test_nothing_is_read_of_the_code_after_preloading(database: None, tmp_path: Path) -> None:
    link = invite_operator(
        "noor@example.org", invitation=uuid4(), token=uuid4().hex, now=datetime.now(UTC)
    )
    name = connection.settings_dict["NAME"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), name, link, PASSWORD],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {"PYTHONPATH": str(SCRIPT.parent.parent), "NIGHTDROP_TREE": str(tmp_path / "missing")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
