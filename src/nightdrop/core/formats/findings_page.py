# SPDX-License-Identifier: Apache-2.0
"""docs/findings.md, written from the catalogue of findings."""

from collections.abc import Iterable, Iterator

from nightdrop.core.formats.codes import Code, Severity
from nightdrop.core.formats.codes_of_cells import CODES_OF_CELLS
from nightdrop.core.formats.codes_of_files import CODES_OF_DELIVERIES, CODES_OF_FILES
from nightdrop.core.formats.codes_of_rows import CODES_OF_HEADINGS, CODES_OF_ROWS

_HEAD = """\
# Findings

Made by `make docs` from the catalogue in `core/formats/findings.py`; do not edit.

A finding is one thing that Nightdrop found in a delivery. Every kind has a code, which
never changes its meaning, so that scripts may rely on it. Its severity says what it does:

| severity | what it does |
|---|---|
| blocking | nothing of the delivery is loaded; the roster stays as it was |
| error | the row is left out, the rest is loaded |
| remark | nothing is left out; it is worth knowing |

Lines are numbered as an editor shows them; line 1 is the heading row.
"""

_SECTIONS: tuple[tuple[str, tuple[Code, ...]], ...] = (
    ("The delivery", CODES_OF_DELIVERIES),
    ("A file", CODES_OF_FILES),
    ("The heading row", CODES_OF_HEADINGS),
    ("A row", CODES_OF_ROWS),
    ("A cell", CODES_OF_CELLS),
)


def write_findings_page() -> str:
    """Return the page: first every code in a table, then each with what to do."""
    lines = [_HEAD, *_table(code for _, codes in _SECTIONS for code in codes)]
    for title, codes in _SECTIONS:
        lines += ["", f"## {title}"]
        for code in codes:
            lines += ["", *_entry(code)]
    return "\n".join([*lines, ""])


def _table(codes: Iterable[Code]) -> Iterator[str]:
    yield "| code | severity | in short |"
    yield "|---|---|---|"
    for code in codes:
        yield f"| [`{code.slug}`](#{code.slug}) | {code.severity} | {code.title} |"


def _entry(code: Code) -> Iterator[str]:
    yield f"### {code.slug}"
    yield ""
    yield f"**{code.title}** ({_effect(code.severity)})."
    yield ""
    yield f"- What to do: {_escaped(code.hint)}"
    yield f"- Example: `{code.example}`"
    yield f"- Rule: {code.source}"


def _effect(severity: Severity) -> str:
    match severity:
        case Severity.BLOCKING:
            return "blocking: nothing is loaded"
        case Severity.ERROR:
            return "error: the row is left out"
        case Severity.REMARK:
            return "remark"


def _escaped(text: str) -> str:
    return text.replace("*", "\\*").replace("<", "&lt;").replace("_", "\\_")
