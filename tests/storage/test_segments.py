# SPDX-License-Identifier: Apache-2.0
"""Where handing over goes on, whatever became of what was kept about it."""

import json
import shutil
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nightdrop.storage.journal import Journal
from nightdrop.storage.segments import _write_position, position_file, read_position
from storage.journaling import event, hand_over, segments
from storage.killing import every_kill

OFFSETS = st.integers(0, 2**40)


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(OFFSETS, OFFSETS, st.integers(0, 30), st.binary(min_size=30, max_size=30))
@example(99_999, 100_000, 17, b"\0" * 30)
def test_a_position_half_overwritten_is_one_of_both_or_the_start(
    tmp_path: Path, before: int, after: int, length: int, mask: bytes
) -> None:
    segment = tmp_path / "1-1.jsonl"
    old, new = _write_position(before), _write_position(after)
    assert len(old) == len(new) == 30
    mixed = bytes(a if pick % 2 else b for a, b, pick in zip(old, new, mask, strict=True))
    for content in (new[:length] + old[length:], new[:length], mixed, new[:length] + b"\0" * 9):
        position_file(segment).write_bytes(content)
        assert read_position(segment) in {0, before, after}
    position_file(segment).write_bytes(new)
    assert read_position(segment) == after


def test_a_kill_while_handing_over_passes_nothing_over(tmp_path: Path) -> None:
    directory, taken = tmp_path / "journal", tmp_path / "taken"

    def prepare() -> None:
        shutil.rmtree(directory, ignore_errors=True)
        taken.write_bytes(b"")
        for first in (0, 10):
            journal = Journal(directory)
            for number in range(first, first + 10):
                journal.append(event(number))
            journal.close()

    def work() -> None:
        journal = Journal(directory)
        with taken.open("ab", buffering=0) as file:
            while (batch := journal.pending(3)).events:
                file.write(json.dumps([each.id.int for each in batch.events]).encode() + b"\n")
                batch.commit()

    repeated = set()
    for _ in every_kill(prepare, work):
        work()
        numbers = [n for line in taken.read_text().splitlines() for n in json.loads(line)]
        assert list(dict.fromkeys(numbers)) == list(range(20))
        repeated.add(len(numbers) - 20)
        assert {path.name for path in directory.iterdir()} == {"news", "shipper"}
    assert 0 in repeated


def test_a_position_is_overwritten_in_place(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(10):
        journal.append(event(number))
    hand_over(journal, 1)
    (segment,) = segments(tmp_path)
    before = position_file(segment).stat().st_ino
    hand_over(journal, 1)
    assert position_file(segment).stat().st_ino == before
    assert len(list(tmp_path.iterdir())) == 4


def test_what_dead_processes_left_is_swept_away(tmp_path: Path) -> None:
    for name in ("1-1.position", "2-1-thinned.new"):
        (tmp_path / name).write_bytes(b"left behind")
    assert hand_over(Journal(tmp_path)) == []
    assert {path.name for path in tmp_path.iterdir()} == {"news", "shipper"}
