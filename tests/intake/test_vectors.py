# SPDX-License-Identifier: Apache-2.0
"""Every finding is found where it is, and nothing else; no disaster is loaded."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from nightdrop.core.formats.findings import CATALOGUE
from nightdrop.core.formats.generic import GENERIC
from nightdrop.core.formats.limits import LIMITS
from nightdrop.intake.check import check_files
from nightdrop.intake.checked import CheckedBundle, SourceFile, Verdict

VECTORS = Path(__file__).parents[1] / "vectors" / "csv"
FOLDERS = sorted(path.parent for path in VECTORS.rglob("expected.json"))
DISASTERS = sorted((VECTORS / "disaster-nights").iterdir())

#: Found from the epoch, not from the files in it.
NOT_IN_FILES = {"marker-not-last", "came-after-seal", "epoch-name-no-time"}


def check(folder: Path, expected: dict[str, Any]) -> CheckedBundle:
    sent_as = expected.get("sent_as", {})
    roster = set(expected.get("roster", ()))

    def on_roster(ids: Sequence[str]) -> set[str]:
        return roster.intersection(ids)

    return check_files(
        [
            SourceFile(sent_as.get(path.name, path.name), path)
            for path in sorted(folder.iterdir())
            if path.name not in {"expected.json", "COMPLETE"}
        ],
        format=GENERIC,
        today=date.fromisoformat(expected["today"]),
        roster=on_roster,
        limits=replace(LIMITS, **expected.get("limits", {})),
    )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(VECTORS)))
def test_exactly_the_expected_is_found(folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    with check(folder, expected) as bundle:
        found = [
            {"code": f.code, "file": f.file, "line": f.line, "column": f.column}
            for f in bundle.findings.findings
        ]
        assert sorted(map(str, found)) == sorted(map(str, expected["findings"]))
        assert bundle.verdict == expected["verdict"]


@pytest.mark.parametrize("folder", DISASTERS, ids=lambda folder: folder.name)
def test_no_disaster_may_be_loaded(folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    with check(folder, expected) as bundle:
        assert bundle.verdict is Verdict.BLOCKED


def test_every_code_has_a_vector() -> None:
    shown = {folder.name for folder in FOLDERS if folder.parent == VECTORS}
    assert shown == set(CATALOGUE) - NOT_IN_FILES


def test_every_vector_shows_the_code_it_is_named_for() -> None:
    for folder in FOLDERS:
        if folder.parent == VECTORS:
            expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
            assert folder.name in {finding["code"] for finding in expected["findings"]}


def test_vectors_are_what_their_script_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, VECTORS / "make_vectors.py", tmp_path], check=True)
    written = {path.relative_to(tmp_path): path.read_bytes() for path in files_of(tmp_path)}
    kept = {path.relative_to(VECTORS): path.read_bytes() for path in files_of(VECTORS)}
    assert kept == written


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".py"]
