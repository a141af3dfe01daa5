# SPDX-License-Identifier: Apache-2.0
"""docs/settings.md is what the settings say of themselves."""

from pathlib import Path

from nightdrop.cli.settings_page import write_settings_page
from nightdrop.config import Config, variable_name

_PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_current() -> None:
    assert _PAGE.read_text("utf-8") == write_settings_page(), "run `make docs`"


def test_every_setting_has_a_row() -> None:
    rows = [line for line in write_settings_page().splitlines() if line.startswith("| `")]
    assert len(rows) == len(Config.model_fields)
    for field, row in zip(Config.model_fields, rows, strict=True):
        assert row.startswith(f"| `{variable_name(field)}` |")
        assert row.count(" | ") == 3
