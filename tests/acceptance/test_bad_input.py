# SPDX-License-Identifier: Apache-2.0
"""What people get wrong, and the one line each of them reads."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(scratch: Path) -> Path:
    return scratch / "home"


@pytest.fixture
def run(home: Path) -> Run:
    """Run `nightdrop` in a home of its own."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("NIGHTDROP_", "DJANGO"))}
        return subprocess.run(
            [sys.executable, "-m", "nightdrop", *arguments],
            env=clean | {"NIGHTDROP_HOME": str(home)} | settings,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run


def only_line(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a refusal, which ends with 1 and no traceback."""
    assert ended.returncode == 1, ended
    assert ended.stderr.startswith("nightdrop: ")
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


def test_a_wrong_setting(run: Run) -> None:
    said = only_line(run("doctor", NIGHTDROP_SFTP_PORT="many"))
    assert "NIGHTDROP_SFTP_PORT=many is not a whole number" in said
    assert "from 0 to 65535" in said


def test_a_misspelt_setting(run: Run) -> None:
    said = only_line(run("district", "list", NIGHTDROP_SFTP_PROT="22"))
    assert "is not a setting of Nightdrop; did you mean NIGHTDROP_SFTP_PORT?" in said


def test_an_unknown_district(run: Run) -> None:
    said = only_line(run("delivery", "list", "nowhere.org"))
    assert said == (
        "nightdrop: there is no district nowhere.org; nightdrop district list shows all\n"
    )


def test_a_database_that_is_away(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"postgresql://nightdrop_app:secret@127.0.0.1:{port}/nightdrop"
    said = only_line(run("district", "list", NIGHTDROP_DATABASE_URL=url))
    assert "the database does not answer" in said
    assert "NIGHTDROP_DATABASE_URL" in said
    assert "secret" not in said


def test_a_home_that_is_a_file(run: Run, home: Path) -> None:
    home.write_text("not a directory")
    said = only_line(run("district", "list"))
    assert str(home) in said
    assert "set NIGHTDROP_HOME to another one" in said


def test_data_of_another_postgresql(run: Run, home: Path) -> None:
    assert run("district", "list").returncode == 0
    version = next(home.rglob("PG_VERSION"))
    version.write_text("15\n")
    said = only_line(run("district", "list"))
    assert "was made by PostgreSQL 15, and this is PostgreSQL 18" in said
    assert "dump it with the old version" in said


def test_a_port_that_is_taken(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("serve", NIGHTDROP_SFTP_PORT=port, NIGHTDROP_WEB_PORT="0")
    assert ended.returncode == 1
    line = next(line for line in ended.stderr.splitlines() if port in line)
    assert line.startswith("nightdrop: sftp cannot listen on 127.0.0.1")
    assert "NIGHTDROP_SFTP_PORT" in line
    assert "Traceback" not in ended.stderr


def test_a_private_key_given_as_public(run: Run, home: Path, tmp_path: Path) -> None:
    key = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    assert run("district", "add", "applegrove.org").returncode == 0
    said = only_line(run("key", "add", "applegrove.org", str(key)))
    assert "This is a private key. Consider it leaked: make a new pair." in said
    assert json.loads(run("key", "list", "applegrove.org", "--json").stdout) == []
    secret = "".join(key.read_text().splitlines()[1:-1])[40:80].encode()
    holding = [path for path in home.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert holding == []


def test_a_csv_that_is_html(run: Run, tmp_path: Path) -> None:
    night = tmp_path / "night"
    night.mkdir()
    (night / "students.csv").write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    ended = run("check", str(night))
    assert ended.returncode == 1
    assert "web page" in ended.stdout
    assert "would be rejected" in " ".join(ended.stdout.split())


def test_an_epoch_that_is_no_epoch(run: Run, home: Path) -> None:
    assert run("district", "add", "applegrove.org").returncode == 0
    upload = next((home / "districts").glob("*/upload"))
    (upload / "2026-11-23").mkdir()
    (upload / "2026-11-23" / "COMPLETE").touch()
    said = run("delivery", "list", "applegrove.org").stderr
    assert said == (
        "note: /upload/2026-11-23 holds a marker, but '2026-11-23' is no epoch; rename the"
        " directory to YYYYMMDD-HHMMSS, such as 20261123-020000, and it is taken\n"
    )
