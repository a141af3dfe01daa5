# SPDX-License-Identifier: Apache-2.0
"""The SFTP server is killed at each named point of an upload; `serve` starts another.

What its client was told to be there is there, whether or not the client was told.
"""

import os
import signal
from pathlib import Path

import pytest

from acceptance.district import EPOCH, District, Night, end
from acceptance.points import Point
from acceptance.processes import PATIENCE_SECONDS, processes_of, wait_until
from acceptance.running import Nightdrop
from nightdrop.core.paths import Zone

#: Where the server is killed, and whether the epoch is sealed then.
IS_SEALED = {
    Point.MARKER_CLOSED: False,
    Point.BEFORE_SEAL: False,
    Point.TRIED_TO_SEAL: True,
    Point.BEFORE_SHIPPING: True,
    Point.SHIPPED: True,
}
#: 100 KB a second.
SLOWLY_KILOBITS = 800
LARGE_BYTES = 2_000_000


@pytest.mark.parametrize("point", IS_SEALED)
def test_a_killed_server_loses_nothing(
    nightdrop: Nightdrop, apple: District, first_night: Night, tmp_path: Path, point: Point
) -> None:
    told = tmp_path / "told"
    with nightdrop.halting_at(point) as halted:
        client = apple.begin(*first_night.commands(), f"!touch {told}", "bye")
        server = halted()
        assert apple.has_seal() == IS_SEALED[point]
        if point is not Point.MARKER_CLOSED:
            # The client does this once it has seen success for its last close.
            wait_until(told.exists, what="the answer to the marker's close")
        if point in {Point.BEFORE_SHIPPING, Point.SHIPPED}:
            # Neither is the session's business; it ends as ever.
            assert client.wait(PATIENCE_SECONDS) == 0
        apple.check_never_half(first_night)
        server.kill()
        end(client)
    assert told.exists() == (point is not Point.MARKER_CLOSED)
    nightdrop.wait_for_others("sftp", server.pid)
    apple.check_loaded_once(first_night)


@pytest.fixture
def large(tmp_path: Path, first_night: Night) -> Night:
    """Make a night that takes long enough to arrive for somebody to be killed meanwhile."""
    directory = tmp_path / "large"
    directory.mkdir()
    students = (first_night.directory / "students.csv").read_bytes()
    rows = students.splitlines(keepends=True)
    (directory / "students.csv").write_bytes(rows[0] + rows[1] * (LARGE_BYTES // len(rows[1])))
    for name in ("guardians.csv", "COMPLETE"):
        (directory / name).write_bytes((first_night.directory / name).read_bytes())
    return Night(directory, counts={}, exported={})


@pytest.mark.parametrize("first", ["guardians.csv", "guardians.csv COMPLETE"])
@pytest.mark.parametrize("victim", ["server", "client"])
def test_half_a_file_never_seals(
    nightdrop: Nightdrop,
    apple: District,
    first_night: Night,
    large: Night,
    victim: str,
    first: str,
) -> None:
    client = apple.begin(
        f"mkdir /upload/{EPOCH}",
        *large.puts(*first.split(), "students.csv"),
        limit_kilobits=SLOWLY_KILOBITS,
    )
    half = apple.directory(Zone.UPLOAD) / EPOCH / "students.csv"
    wait_until(lambda: half.exists() and half.stat().st_size > 0, what="the half file")
    if victim == "server":
        nightdrop.kill_part("sftp")
    else:
        # `sftp` talks through a `ssh` of its own, which holds the connection.
        for pid in (client.pid, *processes_of(client.pid)):
            os.kill(pid, signal.SIGKILL)
    end(client)
    assert half.stat().st_size < LARGE_BYTES
    nightdrop.wait_for_scans()
    assert not apple.has_seal()
    assert not apple.deliveries()
    apple.send(
        *first_night.puts(*(name for name in ("students.csv", "COMPLETE") if name not in first))
    )
    apple.check_loaded_once(first_night)
