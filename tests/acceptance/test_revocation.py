# SPDX-License-Identifier: Apache-2.0
"""Keys that are added, revoked or expire, and districts that are suspended, in mid-upload.

Each takes effect within a second in every SFTP process: new logins, and sessions that run.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acceptance.district import EPOCH, District, Night, end
from acceptance.processes import is_gone, processes_of, wait_until
from acceptance.running import Nightdrop
from nightdrop.core.paths import Zone

#: What is promised, and what a machine may add on which much else runs at the same time.
PROMISED_SECONDS = 1.0
ALLOWED_SECONDS = 2.0
#: So many sessions that each SFTP process has some.
SESSIONS = 8
#: 100 KB a second: a file takes much longer than a test.
SLOWLY_KILOBITS = 800
LARGE_BYTES = 20_000_000


@dataclass(frozen=True)
class Key:
    """A second key of a district."""

    path: Path
    fingerprint: str

    @property
    def public(self) -> str:
        return f"{self.path}.pub"


@pytest.fixture
def key(tmp_path: Path) -> Key:
    path = tmp_path / "second"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{path}.pub"], capture_output=True, text=True, check=True
    )
    return Key(path, said.stdout.split()[1])


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "students.csv"
    file.write_bytes(b"x" * LARGE_BYTES)
    return file


def revoke(nightdrop: Nightdrop, district: District, key: Key) -> float:
    nightdrop.console.run("key", "revoke", district.name, key.fingerprint)
    return time.monotonic()


def suspend(nightdrop: Nightdrop, district: District, key: Key) -> float:
    nightdrop.console.run("district", "suspend", district.name)
    return time.monotonic()


def expire(nightdrop: Nightdrop, district: District, key: Key) -> float:
    """Give the key an end that is near, and wait for that: commands know only whole days."""
    soon = datetime.now(UTC) + timedelta(seconds=2)
    nightdrop.ask(
        "UPDATE account_key SET expires_at = %s WHERE fingerprint = %s RETURNING 1",
        soon, key.fingerprint,
    )  # fmt: skip
    time.sleep((soon - datetime.now(UTC)).total_seconds())
    return time.monotonic()


End = Callable[[Nightdrop, District, Key], float]


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        pytest.param(revoke, "was removed from this account", id="revoked"),
        pytest.param(expire, "has expired", id="expired"),
        pytest.param(suspend, "was suspended", id="suspended"),
    ],
)
def test_running_uploads_are_cut_and_say_why(
    nightdrop: Nightdrop,
    apple: District,
    first_night: Night,
    key: Key,
    large: Path,
    cut: End,
    reason: str,
) -> None:
    nightdrop.console.run("key", "add", apple.name, key.public)
    wait_until(lambda: knows(nightdrop, key), what="the key's login")
    # The marker is there before the file that will not arrive whole.
    apple.send(f"mkdir /upload/{EPOCH}", *first_night.puts("guardians.csv"))
    with uploading(apple, large, *first_night.puts("COMPLETE"), key=key) as sessions:
        wait_until(
            lambda: len(sizes(apple)) == SESSIONS and all(sizes(apple).values()),
            what="all uploads to run",
            why=nightdrop.log,
        )
        # What holds the connection is a process below `sftp`, which itself sleeps to be slow.
        connections = [pid for session in sessions for pid in processes_of(session.pid)]
        assert len(connections) == SESSIONS

        cut_at = cut(nightdrop, apple, key)

        wait_until(lambda: all(map(is_gone, connections)), what="the end", why=nightdrop.log)
        assert time.monotonic() - cut_at < PROMISED_SECONDS + ALLOWED_SECONDS
        for session in sessions:
            status, said = end(session)
            assert status != 0
            assert reason in said
    assert max(sizes(apple).values()) < LARGE_BYTES
    nightdrop.wait_for_scans()
    assert not apple.has_seal()
    assert not apple.deliveries()
    status, _ = end(apple.begin("pwd", key=key.path))
    assert status != 0

    # Another key finishes what this one began.
    nightdrop.console.run("district", "resume", apple.name)
    wait_until(lambda: not is_suspended(nightdrop, apple), what="the district's login")
    more = [f"rm /upload/{EPOCH}/more-{number}" for number in range(1, SESSIONS)]
    apple.send(*more, *first_night.puts("students.csv"))
    apple.check_loaded_once(first_night)


def test_an_added_key_works_in_every_process(
    nightdrop: Nightdrop, apple: District, key: Key
) -> None:
    nightdrop.console.run("key", "add", apple.name, key.public)
    # Nothing is waited for: this is the time that is promised.
    time.sleep(PROMISED_SECONDS)
    with ThreadPoolExecutor(SESSIONS) as pool:
        ended = pool.map(lambda _: end(apple.begin("pwd", key=key.path)), range(SESSIONS))
    assert [status for status, _ in ended] == [0] * SESSIONS


def test_a_district_sees_who_tried_to_log_in(
    nightdrop: Nightdrop, apple: District, key: Key
) -> None:
    """As its technician does, who has just made a key and not installed it yet."""
    status, _ = end(apple.begin("pwd", key=key.path))
    assert status != 0
    (refused,) = wait_until(lambda: attempts(nightdrop, apple), what="the attempt")
    assert (refused["accepted"], refused["reason"]) == (False, "unknown-key")
    assert [tried["fingerprint"] for tried in refused["keys"]] == [key.fingerprint]
    assert refused["client"].startswith("SSH-2.0-OpenSSH")
    nightdrop.console.run("key", "add", apple.name, key.public)
    wait_until(lambda: knows(nightdrop, key), what="the key's login")
    apple.send(f"mkdir /upload/{EPOCH}", key=key.path)
    accepted = wait_until(
        lambda: [found for found in attempts(nightdrop, apple) if found["accepted"]],
        what="the login",
    )
    assert [tried["fingerprint"] for tried in accepted[0]["keys"]] == [key.fingerprint]
    audited = json.loads(nightdrop.console.run("audit", apple.name, "--json"))
    made = [event for event in audited if event["kind"] == "directory-made"]
    assert [event["facts"]["path"] for event in made] == [f"/upload/{EPOCH}"]
    assert made[0]["address"] == "127.0.0.1"


@contextmanager
def uploading(
    district: District, large: Path, *first: str, key: Key
) -> Iterator[list["subprocess.Popen[str]"]]:
    """Send a large file in each of several sessions; the commands `first` come in one of them."""
    names = ["students.csv", *(f"more-{number}" for number in range(1, SESSIONS))]
    with ExitStack() as stack:
        sessions = []
        for name in names:
            commands = [*first, f"put {large} /upload/{EPOCH}/{name}"]
            session = district.begin(*commands, limit_kilobits=SLOWLY_KILOBITS, key=key.path)
            assert session.stdout is not None
            # In the order in which they must be done, the last first.
            stack.callback(session.wait)
            stack.callback(session.stdout.close)
            stack.callback(session.kill)
            sessions.append(session)
            first = ()
        yield sessions


def attempts(nightdrop: Nightdrop, district: District) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        nightdrop.console.run("connections", district.name, "--json")
    )
    return found


def knows(nightdrop: Nightdrop, key: Key) -> bool:
    """Whether the SFTP server has told its disk of the key."""
    return key.fingerprint in nightdrop.config.snapshot_file.read_text()


def is_suspended(nightdrop: Nightdrop, district: District) -> bool:
    """Whether the SFTP server has told its disk that the district is suspended."""
    accounts = json.loads(nightdrop.config.snapshot_file.read_text())["accounts"]
    (found,) = [account for account in accounts if account["username"] == district.name]
    return bool(found["is_suspended"])


def sizes(district: District) -> dict[str, int]:
    """Return the sizes of the files that are being uploaded."""
    place = district.directory(Zone.UPLOAD) / EPOCH
    names = district.names(Zone.UPLOAD, EPOCH) - {"guardians.csv", "COMPLETE"}
    return {name: (place / name).stat().st_size for name in names}
