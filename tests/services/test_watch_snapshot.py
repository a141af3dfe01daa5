# SPDX-License-Identifier: Apache-2.0
"""SFTP servers hear of a change within a second, whatever happens to their connection."""

import queue
import threading
from collections.abc import Iterator
from time import monotonic
from uuid import uuid4

import pytest
from django.db import connection, connections

from core.keys.key_lines import make_key_line, vector
from fix_database import admin_connection
from fix_district import moment
from fix_night import wait_until
from nightdrop.core.accounts import Snapshot
from nightdrop.db.access import drop_connections
from nightdrop.db.models import District
from nightdrop.services.districts import Quota, set_quota, suspend_district
from nightdrop.services.keys import add_key, revoke_key, watch_snapshot

Seen = queue.SimpleQueue[Snapshot]
#: Far more than any test takes: only a notice brings another snapshot in time.
NEVER_SECONDS = 3600.0


@pytest.fixture
def seen(apple: District) -> Iterator[Seen]:
    """What a watcher in a thread of its own yields; its first snapshot has been seen."""
    stop = threading.Event()
    found: Seen = queue.SimpleQueue()

    def watch() -> None:
        try:
            for snapshot in watch_snapshot(stop=stop, reread_seconds=NEVER_SECONDS, clock=moment):
                found.put(snapshot)
        finally:
            connections.close_all()

    thread = threading.Thread(target=watch)
    thread.start()
    assert found.get(timeout=30).accounts.keys() == {"applegrove.org"}
    yield found
    stop.set()
    thread.join(timeout=30)
    assert not thread.is_alive()


def labels(snapshot: Snapshot) -> list[str]:
    return [key.label for key in snapshot.accounts["applegrove.org"].keys]


def install(district: District, text: bytes, label: str) -> str:
    return add_key(
        district.id,
        key_id=uuid4(),
        text=text,
        label=label,
        expires_at=None,
        networks=(),
        now=moment(),
    ).row.fingerprint


PATIENCE_SECONDS = 30.0


def wait_for_labels(seen: Seen, expected: list[str], *, seconds: float = PATIENCE_SECONDS) -> float:
    """Wait for a snapshot with these keys; return how long it took."""
    began = monotonic()
    while labels(seen.get(timeout=seconds)) != expected:
        assert monotonic() - began < seconds
    return monotonic() - began


def end_connections() -> int:
    """End every connection that listens; return how many there were."""
    with admin_connection(connection.settings_dict["NAME"]) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(ended.fetchall())


def listeners() -> int:
    with admin_connection(connection.settings_dict["NAME"]) as admin:
        row = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')"
        ).fetchone()
    return int(str(row[0])) if row else 0


def test_each_change_is_seen_within_a_second(seen: Seen, apple: District) -> None:
    fingerprint = install(apple, make_key_line(), "first")
    assert wait_for_labels(seen, ["first"]) < 1
    install(apple, vector("ecdsa256.pub"), "second")
    assert wait_for_labels(seen, ["first", "second"]) < 1
    revoke_key(apple.id, fingerprint, now=moment())
    assert wait_for_labels(seen, ["second"]) < 1
    suspend_district("applegrove.org", now=moment())
    assert seen.get(timeout=1).accounts["applegrove.org"].is_suspended
    set_quota("applegrove.org", {Quota.FILES: 5})
    assert seen.get(timeout=1).accounts["applegrove.org"].quota_files == 5


def test_changes_that_come_while_a_snapshot_is_read_are_not_lost(
    seen: Seen, apple: District
) -> None:
    fingerprints = [install(apple, make_key_line(), "first")]
    for _ in range(20):
        revoke_key(apple.id, fingerprints.pop(), now=moment())
        fingerprints.append(install(apple, make_key_line(), "first"))
    install(apple, vector("ecdsa256.pub"), "last")
    assert wait_for_labels(seen, ["first", "last"]) < PATIENCE_SECONDS


def test_a_use_of_a_key_wakes_nobody(seen: Seen, apple: District) -> None:
    """Every login marks its key as used: all servers would read all keys each time."""
    install(apple, make_key_line(), "first")
    wait_for_labels(seen, ["first"])
    with admin_connection(connection.settings_dict["NAME"]) as admin:
        admin.execute("UPDATE account_key SET last_used_at = now()")
    with pytest.raises(queue.Empty):
        seen.get(timeout=0.3)


def test_a_watcher_survives_the_end_of_its_connections(seen: Seen, apple: District) -> None:
    for label, text in {"first": make_key_line(), "second": vector("ecdsa256.pub")}.items():
        assert end_connections() >= 1
        drop_connections()
        wait_until(lambda: listeners() >= 1)
        install(apple, text, label)
    wait_for_labels(seen, ["first", "second"])


def test_a_change_while_the_watcher_was_cut_off_is_found(seen: Seen, apple: District) -> None:
    """No notice reaches it; the first thing that it does again is to read everything."""
    with admin_connection(connection.settings_dict["NAME"]) as admin:
        admin.execute("ALTER TABLE account_key DISABLE TRIGGER keys_changed")
        try:
            install(apple, make_key_line(), "unheard of")
        finally:
            admin.execute("ALTER TABLE account_key ENABLE TRIGGER keys_changed")
    end_connections()
    drop_connections()
    assert wait_for_labels(seen, ["unheard of"]) < PATIENCE_SECONDS


def test_it_reads_again_without_being_told(apple: District) -> None:
    stop = threading.Event()
    watch = watch_snapshot(stop=stop, reread_seconds=0.01, clock=moment)
    first, second = next(watch), next(watch)
    assert first.taken_at < second.taken_at
    stop.set()
    assert list(watch) == []
