# SPDX-License-Identifier: Apache-2.0
"""Findings: what is wrong with, or worth saying about, a district's files.

A finding is a value, never an exception: one bad row does not hide the next one.
`CATALOGUE` holds every code there is; docs/findings.md is written from it.
`FindingLog` collects: it counts everything and stores up to a limit, and it keeps, for
each cause, the count and the first lines, so that a column that is missing from five
thousand rows is one thing to read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from types import MappingProxyType
from typing import Self, TypedDict

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
    "GroupJson",
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

_NO_FACTS: Mapping[str, str] = MappingProxyType({})
#: Facts that quote the file.
_QUOTED = frozenset({"value", "found"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault or remark.

    `file` is the file's name as it was sent, empty for the delivery itself. `line` is the
    physical line as an editor shows it, where line 1 is the first. `column` is the
    format's heading; for ``unknown-column`` it is the file's own. `facts` are those that
    the code declares, already fit to be shown.
    """

    code: str
    severity: Severity
    file: str
    line: int | None = None
    column: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        code: str,
        *,
        file: str = "",
        line: int | None = None,
        column: str | None = None,
        facts: Mapping[str, str] = _NO_FACTS,
    ) -> Self:
        """Make a finding of a code of the catalogue.

        Raises: KeyError for a code that the catalogue does not have, ValueError when the
                facts are not those that the code declares.
        """
        known = CATALOGUE[code]
        if set(facts) != set(known.facts):
            raise ValueError(f"{code} has the facts {known.facts}, not {sorted(facts)}")
        shown_facts = {name: shown(text, limit=_limit_of(name)) for name, text in facts.items()}
        heading = None if column is None else shown(column)
        return cls(known.slug, known.severity, file, line, heading, shown_facts)

    @property
    def message(self) -> str:
        """The code's sentence, with the facts filled in."""
        return CATALOGUE[self.code].sentence.format(column=self.column, **self.facts)


class GroupJson(TypedDict):
    """A `FindingGroup` as `delivery show --json` gives it."""

    code: str
    severity: str
    file: str
    column: str | None
    count: int
    first_lines: list[int]
    examples: list[str]
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """All findings of one cause: the same code, file and column.

    `first_lines` are the lowest line numbers, in order. `examples` are different values
    of the fact ``value``: they quote the file and belong into the district's own report.
    """

    code: str
    severity: Severity
    file: str
    column: str | None
    count: int
    first_lines: tuple[int, ...]
    examples: tuple[str, ...]
    message: str

    @property
    def hint(self) -> str:
        """What to do about it."""
        return CATALOGUE[self.code].hint

    def as_json(self) -> GroupJson:
        """Return the group as scripts read it."""
        return GroupJson(
            code=self.code,
            severity=self.severity.value,
            file=self.file,
            column=self.column,
            count=self.count,
            first_lines=list(self.first_lines),
            examples=list(self.examples),
            message=self.message,
            hint=self.hint,
        )


@dataclass(slots=True)
class _Tally:
    """What is known of one cause; `first` stands for all of its findings."""

    first: Finding
    count: int = 0
    lines: list[int] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def take(self, findings: Sequence[Finding], *, lines: Iterable[int], count: int) -> None:
        self.count += count
        self.lines = nsmallest(FIRST_LINES, {*self.lines, *lines})
        values = (finding.facts["value"] for finding in findings if "value" in finding.facts)
        self.examples = list(dict.fromkeys([*self.examples, *values]))[:EXAMPLES]

    def group(self) -> FindingGroup:
        return FindingGroup(
            code=self.first.code,
            severity=self.first.severity,
            file=self.first.file,
            column=self.first.column,
            count=self.count,
            first_lines=tuple(self.lines),
            examples=tuple(self.examples),
            message=self.first.message,
        )


class FindingLog:
    """Collects the findings of one delivery; counts all, stores at most `limit`."""

    __slots__ = ("_findings", "_limit", "_tallies")

    def __init__(self, limit: int = LIMITS.findings) -> None:
        self._limit = limit
        self._findings: list[Finding] = []
        self._tallies: dict[tuple[str, str, str | None], _Tally] = {}

    def add(
        self,
        code: str,
        *,
        file: str = "",
        line: int | None = None,
        column: str | None = None,
        facts: Mapping[str, str] = _NO_FACTS,
    ) -> None:
        """Add one finding. Raises what `Finding.of` raises."""
        self.extend([Finding.of(code, file=file, line=line, column=column, facts=facts)])

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add findings that were made elsewhere, such as those of a heading row."""
        for finding in findings:
            lines = () if finding.line is None else (finding.line,)
            self._take([finding], lines=lines, count=1)

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
        """Add one finding per line, all of one cause.

        `values` holds each line's fact ``value``, in the order of `lines`; `facts` are the
        facts that all share. A caller that knows of more findings than it can list passes
        only some lines, the lowest first, and the whole `count`.

        Raises: as `Finding.of`; ValueError when there are no lines but a count, or when
                `values` and `lines` differ in length.
        """
        if values is not None and len(values) != len(lines):
            raise ValueError(f"{len(values)} values for {len(lines)} lines")
        if count and not lines:
            raise ValueError(f"{count} findings without a line")
        made = []
        for index in range(min(len(lines), max(self.room, FIRST_LINES))):
            own = facts if values is None else {**facts, "value": values[index]}
            made.append(Finding.of(code, file=file, line=lines[index], column=column, facts=own))
        if made:
            self._take(made, lines=lines, count=len(lines) if count is None else count)

    @property
    def room(self) -> int:
        """How many more errors and remarks will be stored."""
        return self._room_for(Severity.ERROR)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The stored findings, in the order in which they were added."""
        return tuple(self._findings)

    @property
    def is_blocking(self) -> bool:
        """True when nothing may be loaded."""
        return self.counts()[Severity.BLOCKING] > 0

    def counts(self) -> dict[str, int]:
        """Count all findings, stored or not, by severity; every severity is a key."""
        counted = {severity.value: 0 for severity in Severity}
        for tally in self._tallies.values():
            counted[tally.first.severity.value] += tally.count
        return counted

    def groups(self) -> list[FindingGroup]:
        """Return the findings by cause: blocking first, then the most frequent."""
        order = list(Severity)
        return sorted(
            (tally.group() for tally in self._tallies.values()),
            key=lambda group: (order.index(group.severity), -group.count),
        )

    def _room_for(self, severity: Severity) -> int:
        kept = 0 if severity is Severity.BLOCKING else self._limit // _KEPT_FOR_BLOCKING
        return max(0, self._limit - kept - len(self._findings))

    def _take(self, findings: Sequence[Finding], *, lines: Iterable[int], count: int) -> None:
        first = findings[0]
        cause = (first.code, first.file, first.column)
        tally = self._tallies.setdefault(cause, _Tally(first))
        if CATALOGUE[first.code].is_once:
            count = 0 if tally.count else 1
            findings = findings[:count]
        tally.take(findings, lines=lines, count=count)
        self._findings += findings[: self._room_for(first.severity)]


def shown(text: str, *, limit: int | None = VALUE_LIMIT) -> str:
    """Return a text from a district's file as a report may show it.

    Shape: one line; characters that cannot be seen are written as ``<U+200B>``; a text
           that would become longer than `limit` characters ends in ``...`` there.
    """
    pieces: list[str] = []
    length = 0
    for character in text:
        if limit is not None and length >= limit:
            return "".join([*pieces, "..."])
        piece = character if character.isprintable() else f"<U+{ord(character):04X}>"
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces)


def _limit_of(fact: str) -> int | None:
    """Texts from the file are cut; what Nightdrop says about it is not."""
    return VALUE_LIMIT if fact in _QUOTED else None
