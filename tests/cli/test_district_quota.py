# SPDX-License-Identifier: Apache-2.0
"""`district set` and `district show`, beside a Nightdrop that runs as it does for an operator."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.district import District
from acceptance.processes import wait_until
from acceptance.running import Nightdrop
from nightdrop.cli.doctor import ask_all

GIB = 2**30


@pytest.fixture(scope="module")
def nightdrop() -> Iterator[Nightdrop]:
    """Serve for the tests of this module."""
    if not shutil.which("sftp"):
        pytest.skip("OpenSSH's sftp is not installed")
    with Nightdrop() as running:
        yield running


@pytest.fixture(scope="module")
def apple(nightdrop: Nightdrop) -> District:
    """Apple Grove."""
    return District(nightdrop, "applegrove.org")


def facts(apple: District) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        apple.nightdrop.console.run("district", "show", apple.name, "--json")
    )
    return found


def change(apple: District, *options: str) -> str:
    return apple.nightdrop.console.run("district", "set", apple.name, *options)


def total_files(apple: District) -> int:
    """Return how many files the district may have, as `df` shows it to it."""
    row = apple.send("df -i /upload").splitlines()[-1]
    return int(row.split()[0])


def test_a_quota_is_set_shown_and_taken_back(apple: District) -> None:
    assert (facts(apple)["quota_bytes"], facts(apple)["quota_files"]) == (50 * GIB, 200_000)
    said = change(apple, "--quota-gib", "7", "--quota-files", "3000")
    assert said == "district applegrove.org may have 7 GiB in 3,000 files in /upload\n"
    told = json.loads(change(apple, "--quota-files", "default", "--json"))
    assert (told["quota_bytes"], told["quota_files"]) == (7 * GIB, 200_000)
    assert "7 GiB" in change(apple, "--quota-files", "12")
    wait_until(lambda: total_files(apple) == 12, what="the quota", why=apple.nightdrop.log)
    change(apple, "--quota-gib", "default", "--quota-files", "default")
    assert facts(apple)["quota_bytes"] == 50 * GIB


def test_what_is_used_is_shown(apple: District, tmp_path: Path) -> None:
    (tmp_path / "students.csv").write_bytes(b"x" * 1000)
    apple.send("mkdir /upload/shown", f"put {tmp_path}/students.csv /upload/shown/")
    told = facts(apple)
    assert (told["used_bytes"], told["used_files"]) == (1000, 2)
    assert (told["sealed_bytes"], told["sealed_files"]) == (0, 0)
    shown = apple.nightdrop.console.run("district", "show", apple.name)
    assert ["used_bytes", "1000"] in [line.split() for line in shown.splitlines()]
    apple.send("rm /upload/shown/students.csv", "rmdir /upload/shown")
    assert (facts(apple)["used_bytes"], facts(apple)["used_files"]) == (0, 0)


def test_doctor_warns_of_a_district_that_is_nearly_full(apple: District, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    apple.send(f"put {tmp_path}/x /upload/x", f"put {tmp_path}/x /upload/y")
    change(apple, "--quota-files", "2")
    quota = next(one for one in ask_all(apple.nightdrop.config) if one.part == "quota")
    assert quota.is_well
    assert quota.found == "1 of 1 districts use more than 90 % of theirs"
    assert "nightdrop district set" in quota.mend
    change(apple, "--quota-files", "default")
    apple.send("rm /upload/x", "rm /upload/y")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--quota-gib", "0"],
        ["--quota-gib", "-1"],
        ["--quota-gib", "1.5"],
        ["--quota-gib", "many"],
        ["--quota-files", "²"],
        ["--quota-files", "100000001"],
    ],
)
def test_what_is_no_quota_is_refused(apple: District, options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nightdrop", "district", "set", apple.name, *options],
        env=apple.nightdrop.environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done
    assert "quota" in done.stderr
