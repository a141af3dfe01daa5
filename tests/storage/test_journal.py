# SPDX-License-Identifier: Apache-2.0
import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightdrop.core.events import write_event
from nightdrop.storage import journal as journal_module
from nightdrop.storage import segments as segments_module
from nightdrop.storage.journal import Journal
from storage.journaling import event, hand_over, in_another_process, numbers, segments


def test_events_wait_until_they_were_handed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    assert numbers(journal) == []
    for number in range(3):
        journal.append(event(number))
    batch = journal.pending(2)
    assert list(batch.events) == [event(0), event(1)]
    assert numbers(journal) == [0, 1, 2]
    batch.commit()
    assert numbers(journal) == [2]
    journal.append(event(3))
    assert hand_over(journal) == [2, 3]
    assert hand_over(journal) == []
    assert journal.dropped == journal.unreadable == 0


def test_nobody_else_reads_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append(event(1))
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    (segment,) = segments(tmp_path / "journal")
    assert segment.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("dies", [False, True])
def test_events_of_a_process_that_is_gone_are_handed_over(
    tmp_path: Path,
    *,
    dies: bool,
) -> None:
    in_another_process(tmp_path, 1, 2, 3, dies=dies)
    journal = Journal(tmp_path)
    journal.append(event(4))
    assert hand_over(journal, 2) == [1, 2]
    assert len(segments(tmp_path)) == 2
    assert hand_over(journal) == [3, 4]
    assert len(segments(tmp_path)) == 1
    assert list(tmp_path.glob("*.position")) == [segments(tmp_path)[0].with_suffix(".position")]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_events_of_several_processes_come_in_the_order_in_which_they_happened(
    tmp_path: Path, limit: int
) -> None:
    in_another_process(tmp_path, 1, 4, 5, dies=True)
    in_another_process(tmp_path, 3, 6, 9, dies=False)
    journal = Journal(tmp_path)
    for number in (2, 7, 8):
        journal.append(event(number))
    handed_over = []
    while batch := hand_over(journal, limit):
        assert len(batch) <= limit
        handed_over += batch
    assert handed_over == list(range(1, 10))


def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(4):
        journal.append(event(number))
    assert hand_over(journal, 2) == [0, 1]
    journal.close()
    journal = Journal(tmp_path)
    assert hand_over(journal) == [2, 3]
    assert segments(tmp_path) == []


def test_a_line_that_a_kill_cut_short_is_passed_over(tmp_path: Path) -> None:
    line = write_event(event(2))
    for length in range(1, len(line)):
        dead = tmp_path / f"{length:020}-1.jsonl"
        dead.write_bytes(write_event(event(1)) + line[:length])
    journal = Journal(tmp_path)
    assert hand_over(journal) == [1] * (len(line) - 1)
    assert segments(tmp_path) == []


def test_half_a_line_of_a_living_process_is_waited_for(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    writer.append(event(1))
    (segment,) = segments(tmp_path)
    line = write_event(event(2))
    with segment.open("ab") as file:
        file.write(line[:10])
    reader = Journal(tmp_path)
    assert hand_over(reader) == [1]
    with segment.open("ab") as file:
        file.write(line[10:])
    assert hand_over(reader) == [2]


def test_a_line_that_is_no_event_is_counted_and_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1-1.jsonl").write_bytes(
        write_event(event(1)) + b"nonsense\n" + write_event(event(2))
    )
    (tmp_path / "2-1.jsonl").write_bytes(b"nonsense\n")
    journal = Journal(tmp_path)
    assert hand_over(journal) == [1, 2]
    assert journal.unreadable == 2
    assert segments(tmp_path) == []


def test_a_position_that_is_damaged_means_from_the_start(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(event(1))
    assert hand_over(journal) == [1]
    segments(tmp_path)[0].with_suffix(".position").write_bytes(b"")
    assert hand_over(journal) == []
    journal.close()
    assert hand_over(Journal(tmp_path)) == [1]


def fail_with(code: int) -> Callable[..., int]:
    def fail(*_args: object, **_options: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_never_reaches_who_appends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    journal = Journal(tmp_path)
    journal.append(event(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail_with(code))
        journal.append(event(2))
        journal.append(event(3))
    assert journal.dropped == 2
    journal.append(event(4))
    assert hand_over(journal) == [1, 4]


def test_no_segment_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail_with(errno.ENOSPC))
        journal.append(event(1))
    assert journal.dropped == 1
    journal.append(event(2))
    assert hand_over(journal) == [2]


@pytest.mark.parametrize("can_cut", [True, False])
def test_half_a_line_of_a_full_disk_does_not_spoil_the_next(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    can_cut: bool,
) -> None:
    journal = Journal(tmp_path)
    journal.append(event(1))
    original = os.write

    def write_half(descriptor: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(descriptor, data[: len(data) - 50])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_half)
        if not can_cut:
            patch.setattr(os, "ftruncate", fail_with(errno.EIO))
        journal.append(event(2))
    journal.append(event(3))
    assert journal.dropped == 1
    assert hand_over(journal) == [1, 3]
    assert journal.unreadable == 0


def test_segments_do_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_SEGMENT_BYTES", 1000)
    journal = Journal(tmp_path)
    for number in range(50):
        journal.append(event(number))
    sizes = [path.stat().st_size for path in segments(tmp_path)]
    assert len(sizes) > 5
    assert max(sizes) < 1500
    handed_over = []
    while batch := hand_over(journal, 7):
        handed_over += batch
    assert handed_over == list(range(50))
    assert len(segments(tmp_path)) == 1


def test_what_is_appended_while_it_is_read_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = Journal(tmp_path), Journal(tmp_path)
    writer.append(event(1))
    original = segments_module.read_lines

    def read_just_before(descriptor: int, offset: int, limit: int) -> tuple[list[bytes], bool]:
        found = original(descriptor, offset, limit)
        writer.append(event(2))
        writer.close()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(segments_module, "read_lines", read_just_before)
        assert hand_over(reader) == [1]
    assert hand_over(reader) == [2]
    assert segments(tmp_path) == []


def test_many_processes_append_while_one_hands_over(tmp_path: Path) -> None:
    number = 400

    def append(first: int) -> None:
        # Segments that end again and again, and a kill at the end.
        try:
            journal = Journal(tmp_path, max_bytes=64 * 2000)
            for each in range(first, first + number):
                journal.append(event(each))
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)

    children = []
    for first in (0, number, 2 * number):
        child = os.fork()
        if child == 0:
            append(first)
        children.append(child)
    reader = Journal(tmp_path)
    taken: list[int] = []
    while children:
        taken += hand_over(reader, 7)
        if os.waitpid(children[0], os.WNOHANG)[0]:
            children.pop(0)
    while batch := hand_over(reader):
        taken += batch
    assert sorted(taken) == list(range(3 * number))
    assert segments(tmp_path) == []


def test_one_process_hands_over(tmp_path: Path) -> None:
    first, second = Journal(tmp_path), Journal(tmp_path)
    first.append(event(1))
    second.append(event(2))
    assert sorted(numbers(first)) == [1, 2]
    assert numbers(second) == []
    second.pending(10).commit()
    first.close()
    assert sorted(hand_over(second)) == [1, 2]


def test_the_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    def append(first: int) -> None:
        for number in range(first, first + 200):
            journal.append(event(number))

    threads = [threading.Thread(target=append, args=(first,)) for first in range(0, 1000, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(hand_over(journal)) == list(range(1000))
    assert journal.unreadable == 0


@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.sampled_from(["append", "read", "commit", "restart"]), max_size=40))
def test_nothing_is_lost_and_what_was_committed_never_comes_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    journal = Journal(directory)
    appended = 0
    waiting: list[int] = []
    for step in steps:
        if step == "append":
            journal.append(event(appended))
            waiting.append(appended)
            appended += 1
        elif step == "restart":
            journal.close()
            journal = Journal(directory)
        elif step == "read":
            assert numbers(journal, 3) == waiting[:3]
        else:
            assert hand_over(journal, 3) == waiting[:3]
            del waiting[:3]
    assert hand_over(journal) == waiting
    journal.close()
