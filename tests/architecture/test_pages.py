# SPDX-License-Identifier: Apache-2.0
"""Papers that must agree with the code."""

import re
from pathlib import Path

from nightdrop import __version__
from nightdrop.cli.errors import SENTENCES
from nightdrop.cli.pages import stale_pages
from nightdrop.core.errors import Refusal

ROOT = Path(__file__).parents[2]

#: Refusals that never reach the command line: what an SFTP client or a browser asked for.
ELSEWHERE = (
    "nightdrop.storage.",
    "nightdrop.sftp.",
    "nightdrop.core.paths",
    "nightdrop.core.proxy",
    "nightdrop.intake.",
)
ELSEWHERE_CODES = {
    "refused",
    "illegal-transition",
    "not-an-event",
    "snapshot-damaged",
    "invitation-unknown",
    "invitation-used",
    "invitation-expired",
    "invitation-for-somebody-else",
}


def every_refusal(root: type[Refusal] = Refusal) -> set[type[Refusal]]:
    return {root}.union(*(every_refusal(below) for below in root.__subclasses__()))


def test_every_generated_page_is_current() -> None:
    assert stale_pages(ROOT / "docs") == []


def test_every_refusal_of_the_command_line_has_a_sentence() -> None:
    missing = {
        found.code
        for found in every_refusal()
        if found.__module__.startswith("nightdrop.")
        and not found.__module__.startswith(ELSEWHERE)
        and found.code not in ELSEWHERE_CODES
        and found.code not in SENTENCES
    }
    assert missing == set()


def test_every_invariant_names_a_test_that_exists() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    invariants = re.search(r"^## Invariants\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    assert invariants is not None
    rows = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", invariants[1], re.DOTALL | re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    for number, text in rows:
        named = re.findall(r"`(tests/[\w/.-]+\.py)(?:::(\w+))?`|`(make imports)`", text)
        assert named, f"invariant {number} names no test"
        for file, test, _ in named:
            if file:
                assert (ROOT / file).is_file(), f"invariant {number}: {file}"
                assert not test or f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"


def test_the_changelog_knows_this_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_link_of_a_page_leads_somewhere() -> None:
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for target in link.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
