# SPDX-License-Identifier: Apache-2.0
"""Who hands over hears of what somebody waits for, whichever process appended it."""

import os
import signal
import threading
from pathlib import Path

import pytest

from nightdrop.core.events import FILE_KINDS, URGENT_KINDS, EventKind
from nightdrop.storage.bell import Bell
from nightdrop.storage.journal import Journal
from storage.journaling import event, hand_over
from storage.killing import run_killed


@pytest.fixture
def shipper(tmp_path: Path) -> Journal:
    """Return the journal of the process that hands over."""
    journal = Journal(tmp_path)
    assert hand_over(journal) == []
    return journal


def append_elsewhere(directory: Path, *kinds: EventKind, dies: bool = False) -> None:
    """Append an event of each kind in a process that then ends, or is killed."""

    def work() -> None:
        journal = Journal(directory)
        for number, kind in enumerate(kinds):
            journal.append(event(number, kind))
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)

    assert run_killed(work, before_call=10_000) is dies


@pytest.mark.parametrize("dies", [False, True])
def test_a_seal_in_another_process_wakes_who_hands_over(
    tmp_path: Path, shipper: Journal, *, dies: bool
) -> None:
    woken: list[bool] = []
    waiting = threading.Thread(target=lambda: woken.append(shipper.wait(60)))
    waiting.start()
    append_elsewhere(tmp_path, EventKind.SEALED, dies=dies)
    waiting.join(30)
    assert woken == [True]
    assert hand_over(shipper) == [0]
    assert not shipper.wait(0)


def test_files_wake_nobody_and_come_along_with_the_next(tmp_path: Path, shipper: Journal) -> None:
    append_elsewhere(tmp_path, *FILE_KINDS)
    assert not shipper.wait(0.05)
    append_elsewhere(tmp_path, *FILE_KINDS, EventKind.SESSION_ENDED)
    assert shipper.wait(0)
    assert len(hand_over(shipper)) == 2 * len(FILE_KINDS) + 1


def test_an_own_event_wakes_as_anothers_does(shipper: Journal) -> None:
    shipper.append(event(1, EventKind.LOGIN_REFUSED))
    assert shipper.wait(0)
    shipper.append(event(2, EventKind.LOGIN_ACCEPTED))
    assert not shipper.wait(0)


def test_only_who_hands_over_hears_the_bell(tmp_path: Path, shipper: Journal) -> None:
    other = Journal(tmp_path)
    assert hand_over(other) == []
    other.append(event(1, EventKind.SEALED))
    assert not other.wait(0)
    assert shipper.wait(0)
    other.wake()
    assert not shipper.wait(0)
    assert other.wait(0)


def test_a_bell_that_nobody_answered_holds_nobody_up(tmp_path: Path, shipper: Journal) -> None:
    bell = Bell(tmp_path / "news")
    for _ in range(100_000):
        bell.ring()
    append_elsewhere(tmp_path, EventKind.SEALED)
    assert shipper.wait(0)
    assert hand_over(shipper) == [0]
    assert not shipper.wait(0)


def test_what_was_rung_while_nobody_handed_over_is_handed_over(tmp_path: Path) -> None:
    """The next one looks before it waits; a bell that everybody has left is silent."""
    append_elsewhere(tmp_path, EventKind.SEALED, dies=True)
    journal = Journal(tmp_path)
    assert hand_over(journal) == [0]
    assert not journal.wait(0)


def test_a_file_in_the_place_of_the_bell_does_not_keep_its_listener_busy(tmp_path: Path) -> None:
    (tmp_path / "news").write_text("no FIFO")
    journal = Journal(tmp_path)
    assert hand_over(journal) == []
    assert not journal.wait(0)
    journal.append(event(1, EventKind.SEALED))
    assert journal.wait(0)
    assert not journal.wait(0)


def test_waiting_ends_when_it_is_told_to(shipper: Journal) -> None:
    waiting = threading.Thread(target=lambda: shipper.wait(60))
    waiting.start()
    shipper.wake()
    waiting.join(30)
    assert not waiting.is_alive()
    shipper.close()
    shipper.wake()
    assert not shipper.wait(0)


def test_what_may_be_given_up_is_never_urgent() -> None:
    assert not FILE_KINDS & URGENT_KINDS
