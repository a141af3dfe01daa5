# SPDX-License-Identifier: Apache-2.0
"""The sections of REPORT.txt, in the words of the district's office.

Each function returns lines of at most `WIDTH` characters. What was found is ordered by
what it does: first what stops the delivery, then the rows left out, then remarks; the
same advice about several columns of a file is given once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from textwrap import wrap

from nightdrop.core.delivery.machine import State
from nightdrop.core.delivery.report_shape import CountsJson, FileJson
from nightdrop.core.formats.codes import Severity
from nightdrop.core.formats.findings import GroupJson, shown
from nightdrop.core.formats.limits import LIMITS

WIDTH = 78

_WHAT_HAPPENED: Mapping[str, str] = {
    State.SEALED: "The files have arrived and wait to be checked.",
    State.CHECKING: "The files are being checked.",
    State.CHECKED: "The files were checked. This was a trial: nothing was loaded.",
    State.UNRECOGNISED: "Nothing was loaded: Nightdrop knows none of these file names. The "
    "files stay where they are until somebody has looked at them.",
    State.REJECTED: "Nothing was loaded, and the roster is as it was before. Please mend what "
    "stops the delivery and send all files again.",
    State.HELD: "Nothing was loaded yet: a person has to look at this delivery and approve or "
    "discard it. The roster is as it was before.",
    State.READY: "The files were checked and will be loaded.",
    State.LOADING: "The files were checked and are being loaded.",
    State.LOADED: "The files were loaded.",
    State.FAILED: "Nothing was loaded: a fault in Nightdrop itself stopped the work. Nothing is "
    "wrong with the files, and the roster is as it was before.",
    State.DISCARDED: "Nothing was loaded: a person looked at this delivery and decided against "
    "it. The roster was not changed by it.",
    State.SUPERSEDED: "Nothing was loaded: a newer delivery of the same tables was loaded instead.",
    State.DONE: "Nothing was loaded: the operator has dealt with these files by hand.",
    State.UNDONE: "The files were loaded, and the load was taken back afterwards.",
}
_WHAT_WOULD: Mapping[str, str] = {
    State.LOADED: "Sent with the marker COMPLETE, they would be loaded.",
    State.HELD: "Sent with the marker COMPLETE, they would wait for a person's approval.",
    State.REJECTED: "Sent with the marker COMPLETE, they would be rejected and nothing loaded.",
    State.UNRECOGNISED: "Nightdrop knows none of these file names: nothing would be loaded.",
}
_WHY_HELD: Mapping[str, str] = {
    "older-than-roster": "A delivery that was completed later has already been loaded.",
}
_CAME_BY: Mapping[str, str] = {
    "sftp": "by SFTP",
    "auto": "by SFTP, as single files",
    "web": "by the web console",
    "pull": "fetched from the district's system",
    "api": "by the API",
    "check": "from this computer",
}
_SECTIONS: tuple[tuple[Severity, str], ...] = (
    (Severity.BLOCKING, "What stops the delivery"),
    (Severity.ERROR, "Faulty rows, which are left out"),
    (Severity.REMARK, "Remarks, for which nothing is left out"),
)


def write_heading(
    *,
    epoch: str,
    state: str,
    would: str | None,
    source: str,
    sealed_at: datetime | None,
    hold_reasons: Iterable[str],
    faulty: int,
) -> list[str]:
    """Say which delivery this is and what happened to it."""
    came = _CAME_BY.get(source, source)
    if sealed_at is not None:
        came += f", complete at {sealed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    happened = _WHAT_HAPPENED.get(state, f"The delivery is {state}.")
    if would is not None:
        happened += " " + _WHAT_WOULD.get(would, "")
    if faulty and state == State.LOADED:
        were = "was" if faulty == 1 else "were"
        happened += f" {_counted(faulty, 'faulty row')} {were} left out."
    reasons = [_WHY_HELD.get(reason, reason) for reason in hold_reasons]
    return [
        f"Nightdrop report on {shown(epoch, limit=None)}",
        *_filled(f"Came {came}."),
        "",
        *_filled(happened),
        *(line for reason in reasons for line in _filled(reason, first="* ")),
    ]


def write_files(files: Sequence[FileJson]) -> list[str]:
    """List the files with their rows and sizes; nothing when there are none."""
    if not files:
        return []
    rows = [
        (
            shown(file["name"], limit=None),
            "not read" if file["rows"] is None else f"{_counted(file['rows'], 'row')}",
            f"{file['size_bytes']:,} bytes",
        )
        for file in files
    ]
    return [*_titled("Files"), *_table(rows)]


def write_roster(counts: Mapping[str, CountsJson]) -> list[str]:
    """Show what was done to each table of the roster; nothing when none was loaded."""
    loaded = {table: counted for table, counted in counts.items() if counted["added"] is not None}
    if not loaded:
        return []
    rows = [("", "added", "changed", "deleted", "as before", "left out")]
    rows += [
        (
            table,
            _number(counted["added"]),
            _number(counted["updated"]),
            _number(counted["deleted"]),
            _number(counted["unchanged"]),
            _number(counted["faulty"]),
        )
        for table, counted in loaded.items()
    ]
    return [*_titled("Roster"), *_table(rows)]


def write_findings(groups: Sequence[GroupJson], *, counts: Mapping[str, int]) -> list[str]:
    """Tell what was found, by what it does, by file and by cause."""
    if not groups:
        return ["Nothing was found that needs your attention."]
    lines: list[str] = []
    for severity, title in _SECTIONS:
        chosen = [group for group in groups if group["severity"] == severity]
        if not chosen:
            continue
        lines += ["", *_titled(title)] if lines else _titled(title)
        lines += _causes(chosen)
    if sum(counts.values()) > LIMITS.findings:
        note = f"findings.csv lists the first {LIMITS.findings:,} of these findings."
        lines += ["", *_filled(note)]
    return lines


def _causes(groups: Sequence[GroupJson]) -> Iterator[str]:
    """Write groups that have the advice in common below each other, and it once."""
    order = list(dict.fromkeys((group["file"], group["code"]) for group in groups))
    files = list(dict.fromkeys(file for file, _ in order))
    ordered = sorted(
        groups,
        key=lambda group: (files.index(group["file"]), order.index((group["file"], group["code"]))),
    )
    for file, of_file in groupby(ordered, key=lambda group: group["file"]):
        yield shown(file, limit=None) or "The delivery as a whole"
        for _, of_code in groupby(of_file, key=lambda group: group["code"]):
            alike = list(of_code)
            for group in alike:
                yield from _cause(group)
            yield from _filled(alike[0]["hint"], first="    What to do: ", next_="    ")


def _cause(group: GroupJson) -> Iterator[str]:
    times = f"{group['count']:,} times: " if group["count"] > 1 else ""
    yield from _filled(times + group["message"], first="  * ", next_="    ")
    where = _where(group)
    if where:
        yield from _filled(where, first="    ")


def _where(group: GroupJson) -> str:
    """Name the lines, unless it is the heading row, and quote a few cells."""
    said = []
    lines = group["first_lines"]
    if len(lines) > group["count"]:
        said.append(f"First on line {lines[0]:,}.")
    elif lines not in ([], [1]):
        listed = ", ".join(f"{line:,}" for line in lines)
        more = group["count"] - len(lines)
        said.append(
            f"{'Line' if len(lines) == 1 else 'Lines'} {listed}"
            + (f" and {more:,} more." if more > 0 else ".")
        )
    if group["examples"]:
        said.append("For example: " + " | ".join(group["examples"]))
    return " ".join(said)


def _titled(title: str) -> list[str]:
    return [title, "-" * len(title)]


def _filled(text: str, *, first: str = "", next_: str | None = None) -> list[str]:
    """Break a text into lines; `first` and `next_` are what its lines begin with."""
    following = " " * len(first) if next_ is None else next_
    return wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Align the first column to the left and all others to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
