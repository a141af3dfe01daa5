# SPDX-License-Identifier: Apache-2.0
"""Findings: what is wrong with, or worth saying about, a district's files.

A finding is a value, never an exception: one bad row does not hide the next one.
`CATALOGUE` holds every code there is; docs/findings.md is written from it.
`FindingLog` collects: it counts everything and stores up to a limit, and it keeps, for
each cause, the count and the first lines, so that a column that is missing from five
thousand rows is one thing to read.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from types import MappingProxyType

from nightdrop.core.formats.codes import Code, Severity
from nightdrop.core.formats.codes_of_cells import CODES_OF_CELLS
from nightdrop.core.formats.codes_of_files import CODES_OF_DELIVERIES, CODES_OF_FILES
from nightdrop.core.formats.codes_of_rows import CODES_OF_HEADINGS, CODES_OF_ROWS
from nightdrop.core.formats.limits import LIMITS

__all__ = [
    "CATALOGUE",
    "Code",
    "Finding",
    "FindingGroup",
    "FindingLog",
    "Severity",
    "shown",
]

#: Every code, by slug, in the order in which the page shows them.
CATALOGUE: Mapping[str, Code] = MappingProxyType(
    {
        code.slug: code
        for code in (
            *CODES_OF_DELIVERIES,
            *CODES_OF_FILES,
            *CODES_OF_HEADINGS,
            *CODES_OF_ROWS,
            *CODES_OF_CELLS,
        )
    }
)

#: How much of a cell is repeated in a finding, in characters.
VALUE_LIMIT = 40
#: How many lines and example values a group shows.
FIRST_LINES = 10
EXAMPLES = 3

#: One place in a hundred is kept for blocking findings, which often come last.
_KEPT_FOR_BLOCKING = 100

#: Categories of characters that a reader cannot see, or that would steer a terminal.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_NO_FACTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault or remark.

    `file` is None for the delivery as a whole. `line` is the physical line as an editor
    shows it, where line 1 is the heading row. `column` is the format's heading; for
    ``unknown-column`` it is the file's.
    """

    code: str
    severity: Severity
    file: str | None = None
    line: int | None = None
    column: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """All findings of one cause: the same code, file and column.

    `first_lines` are the lowest line numbers, in order. `examples` are different values
    of the fact ``value``. `message` is the code's sentence with the facts filled in.
    """

    code: str
    severity: Severity
    file: str | None
    column: str | None
    count: int
    first_lines: tuple[int, ...]
    examples: tuple[str, ...]
    message: str
    hint: str


@dataclass(slots=True)
class _Tally:
    message: str
    count: int = 0
    first_lines: list[int] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


class FindingLog:
    """Collects the findings of one delivery; counts all, stores at most `limit`."""

    __slots__ = ("_findings", "_limit", "_tallies")

    def __init__(self, limit: int = LIMITS.findings) -> None:
        self._limit = limit
        self._findings: list[Finding] = []
        self._tallies: dict[tuple[str, str | None, str | None], _Tally] = {}

    def add(
        self,
        code: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: str | None = None,
        facts: Mapping[str, str] = _NO_FACTS,
    ) -> None:
        """Add one finding.

        Raises: KeyError for a code that the catalogue does not have, ValueError when the
                facts are not those that the code declares.
        """
        value = facts.get("value")
        self._record(
            CATALOGUE[code],
            file=file,
            column=column,
            lines=() if line is None else (line,),
            facts={name: text for name, text in facts.items() if name != "value"},
            values=None if value is None else (value,),
            count=1,
        )

    def add_many(
        self,
        code: str,
        *,
        file: str,
        lines: Sequence[int],
        column: str | None = None,
        facts: Mapping[str, str] = _NO_FACTS,
        values: Sequence[str] | None = None,
        count: int | None = None,
    ) -> None:
        """Add one finding per line, all with the same cause.

        `values` holds each line's fact ``value``, in the order of `lines`; `facts` are the
        facts that all share. A caller that knows of more findings than it can list passes
        only the first `room` lines (at least the first ten) and the whole `count`.

        Raises: as `add`; ValueError when `values` and `lines` differ in length.
        """
        if values is not None and len(values) != len(lines):
            raise ValueError(f"{len(values)} values for {len(lines)} lines")
        total = len(lines) if count is None else count
        if total:
            self._record(
                CATALOGUE[code],
                file=file,
                column=column,
                lines=lines,
                facts=facts,
                values=values,
                count=total,
            )

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add findings that were made elsewhere, such as those of a heading row."""
        for finding in findings:
            self.add(
                finding.code,
                file=finding.file,
                line=finding.line,
                column=finding.column,
                facts=finding.facts,
            )

    @property
    def room(self) -> int:
        """How many more errors and remarks will be stored."""
        return self._room_for(Severity.ERROR)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The stored findings, in the order in which they were added."""
        return tuple(self._findings)

    @property
    def total(self) -> int:
        """How many findings there are, stored or not."""
        return sum(tally.count for tally in self._tallies.values())

    @property
    def is_blocking(self) -> bool:
        """True when nothing may be loaded."""
        return self.counts()[Severity.BLOCKING] > 0

    def counts(self) -> dict[str, int]:
        """Count the findings by severity; every severity is a key."""
        counted: dict[str, int] = {severity.value: 0 for severity in Severity}
        for (slug, _, _), tally in self._tallies.items():
            counted[CATALOGUE[slug].severity.value] += tally.count
        return counted

    def groups(self) -> list[FindingGroup]:
        """Return the findings by cause: blocking first, then the most frequent."""
        found = [
            FindingGroup(
                code=slug,
                severity=CATALOGUE[slug].severity,
                file=file,
                column=column,
                count=tally.count,
                first_lines=tuple(tally.first_lines),
                examples=tuple(tally.examples),
                message=tally.message,
                hint=CATALOGUE[slug].hint,
            )
            for (slug, file, column), tally in self._tallies.items()
        ]
        order = list(Severity)
        return sorted(found, key=lambda group: (order.index(group.severity), -group.count))

    def _room_for(self, severity: Severity) -> int:
        kept = 0 if severity is Severity.BLOCKING else self._limit // _KEPT_FOR_BLOCKING
        return max(0, self._limit - kept - len(self._findings))

    def _record(
        self,
        code: Code,
        *,
        file: str | None,
        column: str | None,
        lines: Sequence[int],
        facts: Mapping[str, str],
        values: Sequence[str] | None,
        count: int,
    ) -> None:
        given = {*facts, *(() if values is None else ("value",))}
        if given != set(code.facts):
            raise ValueError(f"{code.slug} has the facts {code.facts}, not {sorted(given)}")
        column = None if column is None else shown(column)
        facts = {
            name: shown(text, limit=VALUE_LIMIT if name == "found" else None)
            for name, text in facts.items()
        }
        self._count(code, file, column, lines, facts, values, count)
        stored = min(self._room_for(code.severity), max(len(lines), 1))
        for index in range(stored):
            own = {} if values is None else {"value": shown(values[index])}
            self._findings.append(
                Finding(
                    code=code.slug,
                    severity=code.severity,
                    file=file,
                    line=lines[index] if lines else None,
                    column=column,
                    facts={**facts, **own},
                )
            )

    def _count(
        self,
        code: Code,
        file: str | None,
        column: str | None,
        lines: Sequence[int],
        facts: Mapping[str, str],
        values: Sequence[str] | None,
        count: int,
    ) -> None:
        cause = (code.slug, file, column)
        tally = self._tallies.get(cause)
        if tally is None:
            message = code.sentence.format(column=column, **facts)
            tally = self._tallies[cause] = _Tally(message)
        tally.count += count
        tally.first_lines = nsmallest(FIRST_LINES, {*tally.first_lines, *lines})
        for value in (values or ())[:FIRST_LINES]:
            if len(tally.examples) < EXAMPLES and shown(value) not in tally.examples:
                tally.examples.append(shown(value))


def shown(text: str, *, limit: int | None = VALUE_LIMIT) -> str:
    """Return a text from a district's file as a report may show it.

    Shape: one line; characters that cannot be seen are written as ``<U+200B>``; of a
           longer text the first `limit` characters and ``...``.
    """
    visible = "".join(
        f"<U+{ord(character):04X}>" if _is_invisible(character) else character
        for character in text[:limit]
    )
    return visible if limit is None or len(text) <= limit else visible + "..."


def _is_invisible(character: str) -> bool:
    return character == "\u00a0" or unicodedata.category(character) in _INVISIBLE
