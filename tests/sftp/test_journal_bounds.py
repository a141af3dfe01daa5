# SPDX-License-Identifier: Apache-2.0
"""A database that stays away fills neither the disk nor the operator's log."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from nightdrop.core.events import Event, EventKind
from nightdrop.sftp import bridge as bridge_module
from nightdrop.sftp.bridge import Bridge
from nightdrop.storage.journal import Journal

MAX_BYTES = 64 * 1024


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (EventKind.FILE_WRITTEN, ["journal-thinned"]),
        (EventKind.LOGIN_ACCEPTED, ["journal-too-large"]),
    ],
)
def test_an_operator_hears_of_a_journal_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: EventKind, lines: list[str]
) -> None:
    monkeypatch.setattr(bridge_module, "_FIRST_PAUSE_SECONDS", 0.01)
    full = Journal(tmp_path, max_bytes=MAX_BYTES)
    for _ in range(2 * MAX_BYTES // 150):
        full.append(Event(id=uuid4(), at=datetime.now(UTC), kind=kind))
    full.close()
    tries: list[int] = []
    has_tried = threading.Event()

    def ship(batch: Sequence[Event]) -> None:
        tries.append(len(batch))
        if len(tries) == 3:
            has_tried.set()
        raise ConnectionError

    bridge = Bridge(Journal(tmp_path, max_bytes=MAX_BYTES))
    with capture_logs() as logs:
        bridge.ship_events(ship)
        assert has_tried.wait(30)
        bridge.close()
    told = [line for line in logs if line["event"].startswith("journal-")]
    assert [line["event"] for line in told] == lines
    assert (told[0]["size_bytes"] <= MAX_BYTES) == (kind is EventKind.FILE_WRITTEN)
