# SPDX-License-Identifier: Apache-2.0
"""Named points at which a part stands still, so that a test can look around and kill it.

Production code knows nothing of them: in the processes that `night_shift` starts, functions
are replaced by ones that do the same and, where a test has asked for it, wait at a point
before or after. A part that waits is killed by the test, or let go on.

Shape:   the test writes the name of a point to ``order`` and listens on ``halted``, a socket
         beside it. Who comes to that point connects, says its process id and a fact about
         where it is, and waits until the connection is closed.
"""

import functools
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg

from nightdrop.core.events import EventKind
from nightdrop.storage.seal import SealRecord, SealWaits

ORDER = "order"
HALTED = "halted"


class Point(StrEnum):
    """Where a part can be made to wait."""

    #: sftp: the marker is whole and on the disk, its sender was not told.
    MARKER_CLOSED = "marker-closed"
    #: sftp: the sender was told; nobody has tried to seal.
    BEFORE_SEAL = "before-seal"
    #: sftp: a try to seal is over; the fact is "sealed", or why not.
    TRIED_TO_SEAL = "tried-to-seal"
    #: sftp: the seal is in the journal, the database does not know of it.
    BEFORE_SHIPPING = "before-shipping"
    #: sftp: the database knows the seal, the journal does not know that it does.
    SHIPPED = "shipped"
    #: worker: a scan of the tree is over.
    SCANNED = "scanned"
    #: worker: the job to check was taken, nothing else was done.
    BEFORE_CHECK = "before-check"
    #: worker: one of two files was read.
    CHECKING = "checking"
    #: worker: the check is over and its transaction is not.
    KEEPING_FINDINGS = "keeping-findings"
    #: worker: students are in, guardians on their way, nothing is committed.
    COPYING = "copying"
    #: worker: the load is committed.
    LOADED = "loaded"
    #: worker: the load is committed, the epoch will be moved next.
    BEFORE_MOVE = "before-move"
    #: worker: in the move, the reports are written.
    BEFORE_RENAME = "before-rename"
    #: worker: in the move, the directory has got its new place.
    RENAMED = "renamed"
    #: worker: the move is over, the database does not know it.
    MOVED = "moved"


Tell = Callable[[Any, tuple[Any, ...]], str | None]


def install_points(directory: Path) -> None:
    """Make this process wait at the points that are ordered in `directory`."""

    def put(point: Point, place: str, name: str, *, after: bool, tell: Tell = _always) -> None:
        owner = _find(place)
        original = getattr(owner, name)

        @functools.wraps(original)
        def stand_in(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - for any function
            if after:
                result = original(*args, **options)
                _wait_at(point, directory, tell(result, args))
                return result
            _wait_at(point, directory, tell(None, args))
            return original(*args, **options)

        setattr(owner, name, stand_in)

    if "nightdrop.sftp.main" in sys.modules:
        put(
            Point.MARKER_CLOSED,
            "nightdrop.storage.writing:WriteHandle",
            "close",
            after=True,
            tell=lambda closed, _: closed.marker,
        )
        put(Point.BEFORE_SEAL, "nightdrop.sftp.sealing", "try_seal", after=False)
        put(Point.TRIED_TO_SEAL, "nightdrop.sftp.sealing", "try_seal", after=True, tell=_outcome)
        put(Point.BEFORE_SHIPPING, "nightdrop.services.events", "ship", after=False, tell=_seal)
        put(Point.SHIPPED, "nightdrop.services.events", "ship", after=True, tell=_seal)
    services = "nightdrop.services"
    put(Point.SCANNED, f"{services}.scan", "scan_tree", after=True)
    put(Point.BEFORE_CHECK, f"{services}.checks", "check_delivery", after=False)
    put(Point.CHECKING, "nightdrop.intake.check", "read_file", after=True)
    put(Point.KEEPING_FINDINGS, f"{services}.checks", "_keep_findings", after=False)
    put(Point.LOADED, f"{services}.loads", "load_delivery", after=True, tell=_if_done)
    put(Point.BEFORE_MOVE, f"{services}.finishing", "move_to_processed", after=False)
    put(Point.BEFORE_RENAME, "nightdrop.storage.processed", "rename_new", after=False)
    put(Point.RENAMED, "nightdrop.storage.processed", "rename_new", after=True)
    put(Point.MOVED, f"{services}.finishing", "move_to_processed", after=True)
    _watch_copies(directory)


def _watch_copies(directory: Path) -> None:
    """Wait in the COPY of guardians, when the database has taken some of it."""
    original = psycopg.Copy.write

    def write(copy: psycopg.Copy, buffer: Any) -> None:  # noqa: ANN401 - as psycopg has it
        original(copy, buffer)
        query = copy.cursor._query
        if query is not None and b"guardian" in query.query and b"last_name" in query.query:
            _wait_at(Point.COPYING, directory, "")

    psycopg.Copy.write = write  # type: ignore[assignment, method-assign]


def _find(place: str) -> Any:  # noqa: ANN401 - a module or a class
    module, _, name = place.partition(":")
    found = sys.modules[module]
    return getattr(found, name) if name else found


def _always(_result: object, _args: tuple[Any, ...]) -> str:
    return ""


def _if_done(is_done: object, _args: tuple[Any, ...]) -> str | None:
    # Two jobs may come to a load; the one that finds it taken has nothing to wait for.
    return "" if is_done else None


def _outcome(result: SealRecord | SealWaits, _args: tuple[Any, ...]) -> str:
    return "sealed" if isinstance(result, SealRecord) else result.reason.value


def _seal(_result: object, args: tuple[Sequence[Any]]) -> str | None:
    return "" if any(event.kind is EventKind.SEALED for event in args[0]) else None


def _wait_at(point: Point, directory: Path, fact: str | None) -> None:
    if fact is None or not _is_ordered(point, directory):
        return
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(directory / HALTED))
            connection.sendall(json.dumps([os.getpid(), fact]).encode() + b"\n")
            connection.recv(1)
        except OSError:
            # The test has what it waited for, and listens no more.
            return


def _is_ordered(point: Point, directory: Path) -> bool:
    try:
        return (directory / ORDER).read_text(encoding="ascii") == point
    except FileNotFoundError:
        return False
