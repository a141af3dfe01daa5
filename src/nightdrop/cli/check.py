# SPDX-License-Identifier: Apache-2.0
"""`nightdrop check`: check files before they are sent, without a server."""

import importlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from nightdrop.core.delivery.machine import State
from nightdrop.core.delivery.report import (
    DeliveryReport,
    write_report_json,
    write_report_text,
)
from nightdrop.core.formats.findings import shown
from nightdrop.intake.gather import (
    ArchiveTooLarge,
    BrokenArchive,
    CannotGather,
    EncryptedArchive,
    Gathered,
    NoSuchPath,
    NothingToCheck,
    gather,
)

_CLEAN, _BLOCKED, _USAGE = 0, 1, 2
#: Above this many files the first line gives their number, not their names.
_NAMED = 4

_REFUSED: Mapping[type[CannotGather], str] = {
    NoSuchPath: "{path}: there is no such file or folder, or it may not be read",
    NothingToCheck: "{path}: there are no files in it",
    BrokenArchive: "{path}: not a zip archive, or a damaged one; make it anew",
    EncryptedArchive: "{path}: the archive has a password; unpack it and check the folder",
    ArchiveTooLarge: "{path}: the archive holds too much; unpack it and check the folder",
}


def run_check(paths: Sequence[Path], *, as_json: bool) -> int:
    """Check a folder, a zip archive or CSV files as one delivery, and print the report.

    Returns: the exit code: 0 when a delivery of these files would be loaded, faulty rows
             left out; 1 when nothing of it would be; 2 when there is nothing to check.
    """
    with tempfile.TemporaryDirectory(prefix="nightdrop-check-") as scratch:
        try:
            gathered = gather(paths, scratch=Path(scratch))
        except CannotGather as refusal:
            said = _REFUSED[type(refusal)].format(path=shown(str(refusal.path), limit=None))
            print(f"nightdrop: {said}", file=sys.stderr)
            return _USAGE
        except OSError as error:
            print(f"nightdrop: {error.filename}: {error.strerror}", file=sys.stderr)
            return _USAGE
        if not as_json:
            print(f"Checking {_names(gathered)} ...", flush=True)
        report = _check(gathered)
    if as_json:
        print(write_report_json(report), end="")
    else:
        print()
        print(write_report_text(report), end="")
    return _CLEAN if report.would == State.LOADED else _BLOCKED


def _check(gathered: Gathered) -> DeliveryReport:
    """Load Polars only now: it takes longer than a reader should wait for the first line."""
    offline = importlib.import_module("nightdrop.intake.offline")
    today = datetime.now(UTC).astimezone().date()
    report: DeliveryReport = offline.check_offline(gathered, today=today)
    return report


def _names(gathered: Gathered) -> str:
    names = [shown(file.name) for file in gathered.files]
    if len(names) > _NAMED:
        return f"{len(names)} files"
    return ", ".join(names) or shown(gathered.title)
