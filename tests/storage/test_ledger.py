# SPDX-License-Identifier: Apache-2.0
"""The ledger, shared by real processes that are stopped and killed."""

import itertools
import multiprocessing
import multiprocessing.popen_fork
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from nightdrop.core.penalties import NEVER, Strikes, add_failure
from nightdrop.storage import ledger_file
from nightdrop.storage.counters import ALL_LOGINS, LedgerCrowded, Limit, LimitReached
from nightdrop.storage.ledger import Ledger, Record
from nightdrop.storage.ledger_file import (
    BUCKET,
    COLUMNS,
    FILE_BYTES,
    TEXT_BYTES,
    LedgerBusy,
    LedgerForeign,
    LedgerMissing,
)
from nightdrop.storage.slots import tag_of
from storage.killing import every_kill

NOW = datetime(2026, 11, 23, 2, 14, 7, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DISTRICT = Limit("sessions of applegrove", 5)
#: `Process` would import what is named above when it is needed, which an ordinary user may not.
FORK = multiprocessing.get_context("fork")
PATIENCE_SECONDS = 30.0


@pytest.fixture
def path(ground: Path) -> Path:
    """Where the ledger will be, for root and for an ordinary user."""
    return ground / "home" / "run" / "ledger"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """The ledger of a process that has joined."""
    with closing(Ledger.join(path)) as ledger:
        yield ledger


#: What another process is told to do.
Work = Callable[[Ledger], int]


class Other:
    """Another process that does what it is told, with a ledger of its own."""

    def __init__(self, path: Path) -> None:
        self._pipe, theirs = FORK.Pipe()
        self.process = FORK.Process(target=_obey, args=(path, theirs))
        self.process.start()
        theirs.close()

    def begin(self, work: Work) -> None:
        """Tell it to do something."""
        self._pipe.send(work)

    def result(self) -> int:
        """Return what came of it."""
        assert self._pipe.poll(PATIENCE_SECONDS)
        result: int = self._pipe.recv()
        return result

    def do(self, work: Work) -> int:
        """Tell it to do something, and wait for that."""
        self.begin(work)
        return self.result()

    def kill(self) -> None:
        """Kill it as hard as can be."""
        self.process.kill()
        self.process.join()
        self._pipe.close()


def _obey(path: Path, pipe: Connection) -> None:
    ledger = Ledger.join(path)
    with suppress(EOFError):
        while True:
            pipe.send(pipe.recv()(ledger))
    os._exit(0)


@pytest.fixture
def start_other(path: Path) -> Iterator[Callable[[], Other]]:
    """Start other processes; they end with the test."""
    with ExitStack() as stack:

        def start() -> Other:
            other = Other(path)
            stack.callback(other.kill)
            return other

        yield start


# What other processes are told to do: functions of the module, which can be sent.


def take(ledger: Ledger, *, limit: Limit = DISTRICT, times: int = 1) -> int:
    """Take as many as there are, at most `times`; return how many were to be had."""
    taken = 0
    for _ in range(times):
        with suppress(LimitReached):
            ledger.counters.take(limit)
            taken += 1
    return taken


def come_and_go(ledger: Ledger, *, limit: Limit, times: int) -> int:
    """Take and give back, time and again; return the largest number that was seen."""
    most = 0
    for _ in range(times):
        try:
            taken = ledger.counters.take(limit)
        except LimitReached:
            continue
        most = max(most, ledger.counters.count(limit.what))
        ledger.counters.give_back(taken)
    return most


def stop_in_the_middle(ledger: Ledger) -> int:
    """Be stopped while it is this process's turn; return whether it was."""
    with ledger.counters._turn as is_mine:
        os.kill(os.getpid(), signal.SIGSTOP)
    return is_mine


def do_everything(ledger: Ledger) -> int:
    """Change all there is, until killed."""
    for number in itertools.count():
        taken = ledger.counters.take(Limit(ALL_LOGINS, 10**4), Limit(f"logins from {number}", 10))
        ledger.strikes.change(f"192.0.2.{number % 200}", f"name-{number % 50}", fail)
        ledger.logins.note(f"192.0.2.{number % 200}", at=NOW)
        if number % 3:
            ledger.counters.give_back(taken)
        if not number % 50:
            ledger.strikes.forget_names([f"name-{number % 7}"])
    return 0


def fail(strikes: Strikes, *, now: datetime = NOW) -> Strikes:
    return add_failure(strikes, now=now, room=1, most_seconds=600)


@contextmanager
def stopped(other: Other) -> Iterator[None]:
    """Have another process stopped in the middle of its turn."""
    other.begin(stop_in_the_middle)
    assert other.process.pid is not None
    _, status = os.waitpid(other.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    yield
    os.kill(other.process.pid, signal.SIGCONT)
    assert other.result()


def rivals(ledger: Ledger, name: str) -> Iterator[str]:
    """Make up things to count that compete with `name` for the slots of its bucket."""
    book, salt = ledger.counters._slots, ledger.counters._salt
    bucket = book.bucket(tag_of(name, salt=salt))
    return (
        rival
        for rival in map("rival {}".format, itertools.count())
        if book.bucket(tag_of(rival, salt=salt)) == bucket
    )


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def test_what_was_taken_is_counted_until_it_is_given_back(ledger: Ledger) -> None:
    counters = ledger.counters
    first = counters.take(DISTRICT, Limit(ALL_LOGINS, 10))
    assert take(ledger, times=10) == 4
    assert (counters.count(DISTRICT.what), counters.count(ALL_LOGINS)) == (5, 1)
    with pytest.raises(LimitReached) as reached:
        counters.take(Limit(ALL_LOGINS, 10), DISTRICT)
    assert (reached.value.what, reached.value.most) == (DISTRICT.what, 5)
    assert counters.count(ALL_LOGINS) == 1, "all or nothing"
    counters.give_back(first)
    assert (counters.count(DISTRICT.what), counters.count(ALL_LOGINS)) == (4, 0)
    assert take(ledger, times=10) == 1


@pytest.mark.parametrize("round_", range(3))
def test_a_limit_is_exact_over_all_processes(start_other: Callable[[], Other], round_: int) -> None:
    others = [start_other() for _ in range(3)]
    limit = Limit("sessions of birchhill", 200)
    for other in others:
        other.begin(partial(take, limit=limit, times=150))
    assert sum(other.result() for other in others) == 200


def test_a_limit_is_never_passed_while_processes_come_and_go(
    start_other: Callable[[], Other], ledger: Ledger
) -> None:
    others = [start_other() for _ in range(2)]
    limit = Limit("sessions of birchhill", 1)
    for other in others:
        other.begin(partial(come_and_go, limit=limit, times=5000))
    assert [other.result() for other in others] == [1, 1]
    assert ledger.counters.count(limit.what) == 0


def test_the_dead_take_nobodys_place(start_other: Callable[[], Other], ledger: Ledger) -> None:
    other, living = start_other(), start_other()
    assert other.do(partial(take, times=4)) == 4
    assert living.do(take) == 1
    assert take(ledger) == 0
    other.kill()
    assert take(ledger, times=10) == 4
    assert living.do(take) == 0
    assert ledger.counters.count(DISTRICT.what) == 5


def test_a_new_process_clears_what_the_dead_left(
    start_other: Callable[[], Other], path: Path
) -> None:
    others = start_other(), start_other()
    for other in others:
        other.do(partial(take, limit=Limit(ALL_LOGINS, 100), times=7))
    for other in others:
        other.kill()
    looking = Ledger.look(path)
    assert looking.counters.count(ALL_LOGINS) == 14
    with closing(Ledger.join(path)):
        assert looking.counters.count(ALL_LOGINS) == 0
    looking.close()


def test_who_is_just_joining_is_not_taken_for_dead(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        real_open = os.open

        def open_late(*arguments: Any, **options: Any) -> int:  # noqa: ANN401 - stands for os.open
            monkeypatch.setattr(os, "open", real_open)
            joined = stack.enter_context(closing(Ledger.join(path)))
            assert take(joined, times=9) == 5
            return real_open(*arguments, **options)

        monkeypatch.setattr(os, "open", open_late)
        # The column that the other is about to take.
        ledger.counters._clear_dead([1])
        assert ledger.counters.count(DISTRICT.what) == 5
        assert take(ledger) == 0


def test_the_numbers_of_the_dead_go_even_when_their_locks_are_lost(
    ledger: Ledger, path: Path, start_other: Callable[[], Other]
) -> None:
    other = start_other()
    other.do(partial(take, times=5))
    other.kill()
    path.with_name("ledger-1.lock").unlink()
    assert take(ledger, times=9) == 5


def test_a_process_that_ends_takes_its_numbers_with_it(path: Path, ledger: Ledger) -> None:
    other = Ledger.join(path)
    assert take(other, times=5) == 5
    other.close()
    assert ledger.counters.count(DISTRICT.what) == 0


def test_so_many_processes_count_and_no_more(path: Path) -> None:
    with ExitStack() as stack:
        first, *_ = [stack.enter_context(closing(Ledger.join(path))) for _ in range(COLUMNS)]
        with pytest.raises(LedgerCrowded) as crowded:
            Ledger.join(path)
        assert crowded.value.limit == COLUMNS
        assert take(first) == 1
    with closing(Ledger.join(path)) as ledger:
        assert ledger.counters.count(DISTRICT.what) == 0


def test_who_only_looks_may_not_count(ledger: Ledger, path: Path) -> None:
    with closing(Ledger.look(path)) as looking, pytest.raises(RuntimeError, match="joined"):
        looking.counters.take(DISTRICT)


def test_what_has_no_slot_is_let_in_uncounted(ledger: Ledger) -> None:
    for rival in itertools.islice(rivals(ledger, DISTRICT.what), BUCKET):
        ledger.counters.take(Limit(rival, 1))
    assert ledger.counters.uncounted == 0
    assert take(ledger, times=9) == 9
    assert ledger.counters.uncounted == 9
    assert ledger.counters.count(DISTRICT.what) == 0


def test_slots_in_use_by_the_dead_are_free(
    ledger: Ledger, start_other: Callable[[], Other]
) -> None:
    other = start_other()
    for rival in itertools.islice(rivals(ledger, DISTRICT.what), BUCKET):
        other.do(partial(take, limit=Limit(rival, 1)))
    other.kill()
    assert take(ledger, times=9) == 5
    assert ledger.counters.uncounted == 0


def test_a_slot_that_counts_nothing_gets_another_owner(ledger: Ledger) -> None:
    for rival in itertools.islice(rivals(ledger, DISTRICT.what), 5 * BUCKET):
        ledger.counters.give_back(ledger.counters.take(Limit(rival, 1)))
    assert take(ledger, times=9) == 5


def test_a_stopped_process_stops_nobody(
    ledger: Ledger, start_other: Callable[[], Other], path: Path
) -> None:
    other = start_other()
    known = ledger.counters.take(DISTRICT)
    ledger.strikes.change("192.0.2.7", "applegrove.org", fail)
    with stopped(other):
        started = time.monotonic()
        for _ in range(100):
            ledger.counters.give_back(ledger.counters.take(DISTRICT, Limit("new", 1)))
        # Half a second once, and not each time.
        assert time.monotonic() - started < 10
        assert ledger.counters.uncounted == 100
        assert take(ledger, times=9) == 4, "what has a slot is counted all the same"
        _, struck = ledger.strikes.change("192.0.2.7", "applegrove.org", fail)
        assert struck.failures == 2
        before, after = ledger.strikes.change("192.0.2.8", "applegrove.org", fail)
        assert before == after == Strikes()
        ledger.logins.note("192.0.2.7", at=NOW)
        assert ledger.logins.find("192.0.2.7") == NEVER
        with closing(Ledger.look(path)) as looking, pytest.raises(LedgerBusy) as busy:
            looking.strikes.forget("192.0.2.7", "applegrove.org")
        assert busy.value.path == path
        Ledger.join(path).close()
    ledger.counters.give_back(known)
    assert take(ledger, limit=Limit("new", 1), times=2) == 1
    assert ledger.counters.uncounted == 100


def test_only_the_turn_that_does_not_end_is_not_waited_for(
    ledger: Ledger, start_other: Callable[[], Other], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = start_other()
    with stopped(other):
        ledger.counters.take(DISTRICT)
        assert ledger.counters.uncounted == 1
    monkeypatch.setattr(ledger_file, "_PATIENCE_SECONDS", PATIENCE_SECONDS)
    stack = ExitStack()
    stack.enter_context(stopped(other))
    going_on = threading.Timer(0.05, stack.close)
    going_on.start()
    ledger.counters.take(DISTRICT)
    going_on.join()
    assert ledger.counters.uncounted == 1


def test_strikes_are_kept_by_source_and_name(ledger: Ledger, path: Path) -> None:
    book = ledger.strikes
    assert book.find("192.0.2.7", "applegrove.org") == Strikes()
    assert book.change("192.0.2.7", "applegrove.org", fail) == (Strikes(), Strikes(1, NOW))
    book.change("192.0.2.7", "applegrove.org", fail)
    book.change("192.0.2.7", "", fail)
    waiting = Strikes(2, failed_at=NOW, until=NOW + SECOND)
    assert book.find("192.0.2.7", "applegrove.org") == waiting
    assert book.find("192.0.2.7") == Strikes(1, NOW)
    assert book.find("192.0.2.8", "applegrove.org") == Strikes()
    with closing(Ledger.look(path)) as looking:
        assert sorted(looking.strikes.list_all(), key=lambda one: one.name) == [
            Record("192.0.2.7", "", Strikes(1, NOW)),
            Record("192.0.2.7", "applegrove.org", waiting),
        ]
        assert looking.strikes.forget("192.0.2.7", "applegrove.org")
        assert not looking.strikes.forget("192.0.2.7", "applegrove.org")
    assert book.find("192.0.2.7", "applegrove.org") == Strikes()
    book.change("192.0.2.7", "", lambda _: Strikes())
    assert book.list_all() == []


def test_what_is_just_being_written_is_not_listed(ledger: Ledger) -> None:
    for name in ("applegrove.org", "birchhill.org"):
        ledger.strikes.change("192.0.2.7", name, fail)
    book = ledger.strikes
    slot = book._slots.find(book._tag("192.0.2.7", "applegrove.org"))
    assert slot is not None
    book._arrays.texts[slot * 2 * TEXT_BYTES] = ord("2")
    assert [one.name for one in book.list_all()] == ["birchhill.org"]


def test_a_strangers_text_is_kept_short_and_plain(ledger: Ledger) -> None:
    ledger.strikes.change("192.0.2.7", "x" * 1000, fail)
    ledger.strikes.change("somewhere" * 10, "a\n\x1b[31m\0ü", fail)
    found = sorted((one.source, one.name) for one in ledger.strikes.list_all())
    assert found == [
        ("192.0.2.7", "x" * 64),
        (("somewhere" * 10)[:64], "a??[31m??"),
    ]


def test_names_are_forgotten_with_the_sources_that_tried_them(ledger: Ledger) -> None:
    book = ledger.strikes
    for source, name in itertools.product(("192.0.2.7", "192.0.2.8"), ("", "apple", "birch")):
        book.change(source, name, fail)
    book.change("192.0.2.9", "", fail)
    book.change("192.0.2.9", "birch", fail)
    assert book.forget_names(["apple", "unheard-of", ""]) == 4
    assert sorted((one.source, one.name) for one in book.list_all()) == [
        ("192.0.2.7", "birch"),
        ("192.0.2.8", "birch"),
        ("192.0.2.9", ""),
        ("192.0.2.9", "birch"),
    ]
    book.change("192.0.2.7", "apple", fail)
    assert book.find("192.0.2.7", "apple").failures == 1


def test_the_stalest_strikes_make_room(ledger: Ledger) -> None:
    book = ledger.strikes
    pairs = [(f"192.0.2.{number}", "applegrove.org") for number in range(255)]
    many = [(f"2001:db8:{number:x}::/64", "applegrove.org") for number in range(60_000)]
    bucket = book._slots.bucket(book._tag(*pairs[0]))
    rivals = [pair for pair in many if book._slots.bucket(book._tag(*pair)) == bucket]
    book.change(*pairs[0], partial(fail, now=NOW))
    for number, rival in enumerate(rivals[:BUCKET]):
        book.change(*rival, partial(fail, now=NOW + (number - 3) * SECOND))
    assert len(rivals) > BUCKET
    kept = [book.find(*rival).failures for rival in rivals[: BUCKET + 1]]
    # Nine for eight slots: the first of the rivals was the stalest.
    assert kept == [0] + [1] * (BUCKET - 1) + [0]
    assert book.find(*pairs[0]).failures == 1


def test_logins_are_kept_by_source(ledger: Ledger, path: Path) -> None:
    ledger.logins.note("192.0.2.7", at=NOW)
    ledger.logins.note("2001:db8::/64", at=NOW + SECOND)
    with closing(Ledger.look(path)) as looking:
        assert looking.logins.find("192.0.2.7") == NOW
        assert looking.logins.find("2001:db8::/64") == NOW + SECOND
        assert looking.logins.find("192.0.2.8") == NEVER
    ledger.logins.note("192.0.2.7", at=NOW + 2 * SECOND)
    assert ledger.logins.find("192.0.2.7") == NOW + 2 * SECOND


def test_it_outlives_its_processes(path: Path) -> None:
    with closing(Ledger.join(path)) as ledger:
        ledger.strikes.change("192.0.2.7", "applegrove.org", fail)
        ledger.logins.note("192.0.2.7", at=NOW)
    with closing(Ledger.join(path)) as ledger:
        assert ledger.strikes.find("192.0.2.7", "applegrove.org").failures == 1
        assert ledger.logins.find("192.0.2.7") == NOW


def test_nobody_else_reads_it(ledger: Ledger, path: Path) -> None:
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    assert path.stat().st_size == FILE_BYTES
    # Nothing of it is a hole, which could not be filled on a full disk.
    assert path.stat().st_blocks * 512 >= FILE_BYTES


@pytest.mark.parametrize(
    "content", [b"", b"Nightdrop ledger 0\n" + bytes(FILE_BYTES - 19), bytes(FILE_BYTES)]
)
def test_a_file_of_another_version_is_made_anew(path: Path, content: bytes) -> None:
    with pytest.raises(LedgerMissing):
        Ledger.look(path)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with path.open("rb") as theirs:
        with pytest.raises(LedgerForeign) as foreign:
            Ledger.look(path)
        assert foreign.value.path == path
        with closing(Ledger.join(path)) as ledger:
            assert take(ledger) == 1
        # A process of that version goes on with what it has.
        assert theirs.read() == content


def test_a_larger_file_is_made_anew(path: Path) -> None:
    Ledger.join(path).close()
    with path.open("ab") as file:
        file.write(b"\0")
    with closing(Ledger.join(path)) as ledger:
        assert take(ledger) == 1
    assert path.stat().st_size == FILE_BYTES


def test_killed_while_it_is_made_it_is_made_by_the_next(path: Path) -> None:
    def prepare() -> None:
        for file in path.parent.glob("*"):
            file.unlink()

    def work() -> None:
        take(Ledger.join(path))

    kills = 0
    for _ in every_kill(prepare, work):
        kills += 1
        with closing(Ledger.join(path)) as ledger:
            assert take(ledger, times=9) == 5
    assert kills > 10


def test_killed_anywhere_it_stays_sound(
    path: Path, ledger: Ledger, start_other: Callable[[], Other]
) -> None:
    for busy in range(0, 360, 30):
        other = start_other()
        other.do(take)
        other.begin(do_everything)
        wait_until(lambda: ledger.counters.count(ALL_LOGINS) > busy)  # noqa: B023 - called at once
        other.kill()
        with closing(Ledger.join(path)) as new:
            assert new.counters.count(ALL_LOGINS) == 0
            assert take(new, times=9) == 5
        # Nobody was left with the turn.
        assert ledger.counters.take(Limit(f"after {busy}", 1))
    for record in ledger.strikes.list_all():
        assert record.source.startswith("192.0.2.")
        assert record.name.startswith("name-")
        assert 1 <= record.strikes.failures <= 2
        assert record.strikes.until in {NEVER, NOW + SECOND}
