# SPDX-License-Identifier: Apache-2.0
"""`python -m nightdrop.cli.pages`: write the pages of docs/ that are made from the code.

With --check nothing is written; the exit code says whether every page is current.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from nightdrop.cli.commands_page import write_commands_page
from nightdrop.cli.settings_page import write_settings_page
from nightdrop.cli.states_page import write_states_page
from nightdrop.core.formats.findings_page import write_findings_page

#: File below docs/ -> what writes it.
PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": write_commands_page,
    "delivery-states.md": write_states_page,
    "findings.md": write_findings_page,
    "settings.md": write_settings_page,
}


def stale_pages(docs: Path) -> list[str]:
    """Return the pages that are not what the code would write now."""
    return [name for name, write in PAGES.items() if _read(docs / name) != write()]


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    docs = Path("docs")
    stale = stale_pages(docs)
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is not current: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (docs / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"docs/{name} is written")
    return 0


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8") if page.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
