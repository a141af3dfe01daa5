# SPDX-License-Identifier: Apache-2.0
"""Rules of the house that no other tool holds, read off the repository itself."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightdrop.db import models

ROOT = Path(__file__).parents[2]
FILE_LINES, TEST_FILE_LINES, FUNCTION_LINES = 400, 600, 60


def committed_files() -> list[Path]:
    """Every file that is, or is about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [ROOT / line for line in listed.stdout.splitlines()]
    return [path for path in found if path.is_file()]


def python_files() -> list[Path]:
    return [path for path in committed_files() if path.suffix == ".py"]


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in python_files():
        if path.is_relative_to(ROOT / "src"):
            yield path, ast.parse(path.read_text())


def test_no_file_is_too_long() -> None:
    too_long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in python_files()
        if "migrations" not in path.parts
        and (lines := len(path.read_text().splitlines()))
        > (FILE_LINES if path.is_relative_to(ROOT / "src") else TEST_FILE_LINES)
    ]
    assert too_long == []


def test_no_function_is_too_long() -> None:
    too_long = [
        f"{path.relative_to(ROOT)}:{node.name}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]
    assert too_long == []


def test_async_code_is_in_sftp_alone() -> None:
    elsewhere = [
        str(path.relative_to(ROOT))
        for path, tree in sources()
        if "sftp" not in path.parts
        and any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(tree))
    ]
    assert elsewhere == []


def test_only_move_changes_a_state() -> None:
    """`update(state=...)` and `.state = ...` stand in services.deliveries and nowhere else."""
    changes = re.compile(r"update\([^)]*\bstate=|delivery\.state = ", re.DOTALL)
    elsewhere = [
        str(path.relative_to(ROOT))
        for path, _ in sources()
        if changes.search(path.read_text()) and path.name != "deliveries.py"
    ]
    assert elsewhere == []


def test_the_edges_leave_tables_to_services() -> None:
    """No `.objects` at an edge: whatever reads a district's rows goes through a service."""
    edges = {"cli", "web", "sftp", "jobs", "api"}
    ours = re.compile(rf"\b(?:{'|'.join(models.__all__)})\.objects")
    reaching = [
        str(path.relative_to(ROOT))
        for path, _ in sources()
        if path.relative_to(ROOT / "src/nightdrop").parts[0] in edges
        and ours.search(path.read_text())
    ]
    assert reaching == []


def test_the_operators_role_is_named_in_one_module() -> None:
    naming = {
        str(path.relative_to(ROOT / "src/nightdrop"))
        for path, _ in sources()
        if re.search(r"using\(\s*[\"']operator|connections\[[\"']operator", path.read_text())
    }
    assert naming <= {"db/access.py"}


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "misc", "base", "manager"])
def test_no_module_is_a_dumping_ground(name: str) -> None:
    assert [path for path in python_files() if name in {path.stem, path.parent.name}] == []


def test_nothing_names_a_machine_or_a_registry() -> None:
    # Written so that this file does not find itself.
    hosts = re.compile(r"//[\w.-]*(?:py" + r"pi|python" + r"hosted|np" + r"mjs|deb" + r"ian)\.org")
    places = re.compile(r"(?<![\w.])/(?:wo" + r"rk|fa" + r"rm)/|/ro" + r"ot/")
    naming = []
    for path in committed_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if hosts.search(text) or places.search(text):
            naming.append(str(path.relative_to(ROOT)))
    assert naming == []


def test_every_source_file_has_its_licence_line() -> None:
    without = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if not path.read_text().startswith("# SPDX-License-Identifier: Apache-2.0\n")
    ]
    assert without == []
