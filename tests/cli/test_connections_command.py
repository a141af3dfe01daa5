# SPDX-License-Identifier: Apache-2.0
"""`connections` and `audit`, beside a Nightdrop that runs as it does for an operator."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from acceptance.district import District, end
from acceptance.processes import wait_until
from acceptance.running import Nightdrop

#: What a district is promised, from the attempt to the line in its log.
PROMISED_SECONDS = 2


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


def listed(apple: District, command: str, *options: str) -> list[dict[str, Any]]:
    said = apple.nightdrop.console.run(command, apple.name, "--json", *options)
    assert said.isascii() or command == "connections"
    assert "\x1b" not in said
    found: list[dict[str, Any]] = json.loads(said)
    return found


def wait_for(apple: District, command: str, *options: str) -> list[dict[str, Any]]:
    return wait_until(
        lambda: listed(apple, command, *options),
        what=f"{command} {options}",
        why=apple.nightdrop.log,
    )


def test_an_attempt_with_a_wrong_key_is_seen_in_time_and_says_what_to_do(
    apple: District, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(wrong)], check=True)
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(wrong)], check=True, capture_output=True, text=True
    )
    fingerprint = shown.stdout.split()[1]
    began = datetime.now(UTC)
    monkeypatch.setattr(apple.nightdrop, "key", wrong)
    assert end(apple.begin("ls"))[0] != 0
    failed = time.monotonic()
    # Asking takes a part of a second by itself, which is not the server's.
    asked = failed
    while not (found := listed(apple, "connections", "--since", began.isoformat())):
        assert asked - failed < PROMISED_SECONDS, apple.nightdrop.log()
        asked = time.monotonic()
    (attempt,) = found
    assert (attempt["accepted"], attempt["reason"]) == (False, "unknown-key")
    assert attempt["keys"] == [
        {"fingerprint": fingerprint, "type": "ssh-rsa", "reason": "unknown-key"}
    ]
    assert attempt["address"] == "127.0.0.1"
    assert attempt["client"].startswith("SSH-2.0-OpenSSH")
    assert attempt["algorithms"].keys() >= {"kex", "cipher", "host_key"}
    assert began <= datetime.fromisoformat(attempt["at"]) <= datetime.now(UTC)
    table = apple.nightdrop.console.run("connections", apple.name, "--limit", "1")
    heading, line = table.splitlines()
    assert " ".join(heading.split()) == "WHEN (UTC) FROM CLIENT UNTIL KEY WHAT CAME OF IT"
    assert fingerprint in line
    assert line.endswith("Install it, or let the client use one that is.")


def test_a_session_is_seen_with_its_end_and_all_it_did(apple: District) -> None:
    began = datetime.now(UTC).isoformat()
    apple.send("mkdir /upload/first", "rmdir /upload/first", "-mkdir /download/no")
    wait_for(apple, "audit", "--since", began, "--kind", "disconnected")
    (attempt,) = listed(apple, "connections", "--since", began)
    assert attempt["accepted"]
    assert attempt["explanation"] == "Logged in."
    assert attempt["ending"] == "The client ended it."
    assert attempt["ended_at"] > attempt["at"]
    events = listed(apple, "audit", "--since", began)
    assert [event["kind"] for event in events] == [
        "disconnected", "refused", "directory-removed", "directory-made", "login-accepted",
    ]  # fmt: skip
    assert {event["session"] for event in events} == {attempt["connection"]}
    assert {event["address"] for event in events} == {"127.0.0.1"}
    assert events[3]["facts"] == {"path": "/upload/first"}
    heading, *lines = apple.nightdrop.console.run(
        "audit", apple.name, "--since", began, "--limit", "2"
    ).splitlines()
    assert heading.split() == ["WHEN", "(UTC)", "KIND", "FROM", "WHAT"]
    assert [line.split()[2] for line in lines] == ["disconnected", "refused"]
    assert lines[1].endswith("MakeDirectory of /download/no was refused (read-only-place)")
    (removed,) = listed(apple, "audit", "--since", began, "--kind", "directory-removed")
    assert removed == events[2]


def test_names_that_paint_the_terminal_are_shown_as_text(apple: District) -> None:
    began = datetime.now(UTC).isoformat()
    names = ["\x1b[2J\x1b[31mgone", "\x9b31m", "\u202etxt.exe", "two\rone"]
    apple.send(*[f"-mkdir '/upload/{name}'" for name in names], "-rename /upload/x '/upload/\x07'")
    wait_for(apple, "audit", "--since", began, "--kind", "disconnected")
    table = apple.nightdrop.console.run("audit", apple.name, "--since", began)
    assert all(line.isprintable() for line in table.split("\n"))
    assert "/upload/\\x1b[2J\\x1b[31mgone" in table
    paths = {event["facts"].get("path") for event in listed(apple, "audit", "--since", began)}
    assert f"/upload/{names[0]}" in paths


def test_nothing_happened_yet(apple: District) -> None:
    tomorrow = "2999-01-01"
    assert listed(apple, "audit", "--since", tomorrow) == []
    assert listed(apple, "connections", "--since", tomorrow) == []
