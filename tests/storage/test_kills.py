# SPDX-License-Identifier: Apache-2.0
"""SIGKILL before every single call that touches the disk; then whoever comes next goes on.

Each test kills the work before its first call, prepares anew, kills it before its second, and
so on until the work is through: no kill point is forgotten when the code changes.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nightdrop.core.errors import Refusal
from nightdrop.storage.confine import Confinement, detect_confinement
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import EpochSealed
from nightdrop.storage.processed import move_to_processed
from nightdrop.storage.seal import (
    SealRecord,
    SealWait,
    SealWaits,
    marked_epochs,
    read_record,
    sealed_records,
)
from nightdrop.storage.tree import Tree
from storage.cast import (
    EPOCH,
    STUDENTS,
    at,
    attempt_seal,
    begin,
    fetch,
    lock_names,
    make_epoch,
    mode,
    names,
    seal,
    send,
)
from storage.killing import every_kill

#: Root would be let through where an ordinary user is not.
pytestmark = pytest.mark.parametrize("ground", ["ordinary user"], indirect=True)

E = f"/upload/{EPOCH}"
P = f"/upload-processed/{EPOCH}"
REPORTS = {"REPORT.txt": b"all is well", "findings.csv": b"1,2\r\n"}


@pytest.fixture
def confinement() -> Confinement:
    """One way of confining will do: a kill does not care."""
    return detect_confinement()


@pytest.fixture
def afresh(tree: Tree, apple: DistrictTree) -> Callable[[], None]:
    """Empty the district."""

    def empty() -> None:
        _let_go(apple.place.path)
        shutil.rmtree(apple.place.path)
        tree.add_district(apple.id)

    return empty


def _let_go(place: Path) -> None:
    place.chmod(0o700)
    for inner in place.iterdir():
        if inner.is_dir():
            _let_go(inner)


def after_each_kill(
    prepare: Callable[[], None], work: Callable[[], object], *, at_least: int
) -> Iterator[None]:
    calls = 0
    for before_call in every_kill(prepare, work):
        yield
        calls = before_call
    assert calls > at_least, "the work makes fewer calls than it must"


def test_while_a_file_is_sent(apple: DistrictTree, afresh: Callable[[], None]) -> None:
    """A file that counts as whole is all there."""

    def work() -> None:
        apple.make_directory(at(E))
        handle = begin(apple, f"{E}/students.csv", truncate=True)
        handle.write(0, STUDENTS[:10])
        handle.write(10, STUDENTS[10:])
        handle.close()

    ends = set()
    for _ in after_each_kill(afresh, work, at_least=10):
        end = "nothing"
        if EPOCH in names(apple, "/upload") and names(apple, E):
            end = f"{mode(apple, f'{E}/students.csv'):o}"
            if end == "640":
                assert fetch(apple, f"{E}/students.csv") == STUDENTS
        ends.add(end)
        assert lock_names(apple) <= {EPOCH}
    assert ends == {"nothing", "600", "640"}


def test_while_a_file_is_sent_again(apple: DistrictTree, afresh: Callable[[], None]) -> None:
    """The old content whole, the new content whole, or torn; never a part that counts."""

    def prepare() -> None:
        afresh()
        apple.make_directory(at(E))
        send(apple, f"{E}/students.csv", b"old")

    ends = set()
    for _ in after_each_kill(
        prepare, lambda: send(apple, f"{E}/students.csv", STUDENTS), at_least=10
    ):
        if mode(apple, f"{E}/students.csv") == 0o640:
            ends.add(fetch(apple, f"{E}/students.csv"))
    assert ends == {b"old", STUDENTS}


def test_between_the_close_of_the_marker_and_its_answer(
    apple: DistrictTree, afresh: Callable[[], None]
) -> None:
    """The epoch seals with everything in it, or waits for its marker to be sent again."""

    def prepare() -> None:
        afresh()
        apple.make_directory(at(E))
        send(apple, f"{E}/students.csv", STUDENTS)

    ends = set()
    for _ in after_each_kill(prepare, lambda: send(apple, f"{E}/COMPLETE"), at_least=20):
        outcome = attempt_seal(apple)
        if isinstance(outcome, SealWaits):
            assert outcome.reason in {SealWait.NO_MARKER, SealWait.TORN}
            assert outcome.names in {(), ("COMPLETE",)}
            ends.add(outcome.reason.value)
            assert send(apple, f"{E}/COMPLETE").marker == EPOCH
            outcome = attempt_seal(apple)
        else:
            ends.add("sealed")
        assert isinstance(outcome, SealRecord)
        assert [file.size_bytes for file in outcome.files] == [len(STUDENTS)]
    assert ends == {"no-marker", "torn", "sealed"}


def test_while_a_file_comes_after_the_marker(
    apple: DistrictTree, afresh: Callable[[], None]
) -> None:
    def prepare() -> None:
        afresh()
        make_epoch(apple)

    ends = set()
    for _ in after_each_kill(
        prepare, lambda: send(apple, f"{E}/guardians.csv", b"12345"), at_least=15
    ):
        outcome = attempt_seal(apple)
        if isinstance(outcome, SealWaits):
            assert outcome == SealWaits(reason=SealWait.TORN, names=("guardians.csv",))
            ends.add("torn")
        else:
            files = {file.name: file.size_bytes for file in outcome.files}
            assert files.get("guardians.csv", 5) == 5
            ends.add("with" if "guardians.csv" in files else "without")
    assert ends == {"torn", "with", "without"}


def test_while_an_epoch_is_made_by_a_rename(
    apple: DistrictTree, afresh: Callable[[], None]
) -> None:
    def prepare() -> None:
        afresh()
        apple.make_directory(at("/upload/tmp"))
        send(apple, "/upload/tmp/students.csv", STUDENTS)
        send(apple, "/upload/tmp/COMPLETE")

    def work() -> None:
        apple.rename(at("/upload/tmp"), at(E), replace=False)

    ends = set()
    for _ in after_each_kill(prepare, work, at_least=15):
        (name,) = names(apple, "/upload")
        ends.add(name)
        if name == "tmp":
            work()
        assert list(marked_epochs(apple)) == [EPOCH]
        assert len(seal(apple).files) == 1
    assert ends == {"tmp", EPOCH}


def test_before_and_after_the_seal_record(apple: DistrictTree, afresh: Callable[[], None]) -> None:
    """Not sealed, or sealed with one identity that stays; the fence is mended by who looks."""

    def prepare() -> None:
        afresh()
        make_epoch(apple)
        apple.make_directory(at(f"{E}/sub"))
        send(apple, f"{E}/sub/x", b"x")

    ends = set()
    for _ in after_each_kill(prepare, lambda: seal(apple), at_least=30):
        found = read_record(apple, EPOCH)
        if found is None:
            assert list(marked_epochs(apple)) == [EPOCH]
            send(apple, f"{E}/more.csv")
            found = seal(apple)
            assert len(found.files) == 3
            ends.add("not sealed")
        else:
            with pytest.raises(EpochSealed):
                begin(apple, f"{E}/more.csv")
            ends.add("fenced" if mode(apple, E) == 0o550 else "not fenced")
            assert attempt_seal(apple) == SealWaits(reason=SealWait.SEALED, record=found)
        assert list(sealed_records(apple)) == [found]
        assert mode(apple, E) == 0o550
        assert mode(apple, f"{E}/students.csv") == mode(apple, f"{E}/sub/x") == 0o440
    assert ends == {"not sealed", "not fenced", "fenced"}


def test_in_each_step_of_the_move(apple: DistrictTree, afresh: Callable[[], None]) -> None:
    """In one place or the other, sealed all the time; the next call brings it to its end."""
    known: list[SealRecord] = []

    def prepare() -> None:
        afresh()
        make_epoch(apple)
        known[:] = [seal(apple)]

    def work() -> str:
        return move_to_processed(apple, known[0].id, read_record(apple, EPOCH), reports=REPORTS)

    ends = set()
    for _ in after_each_kill(prepare, work, at_least=40):
        places = (EPOCH in names(apple, "/upload"), EPOCH in names(apple, "/upload-processed"))
        assert places in {(True, False), (False, True)}
        is_retired = read_record(apple, EPOCH) is None
        ends.add((*places, is_retired))
        if places[1]:
            assert names(apple, P) == {"students.csv", "COMPLETE", *REPORTS}
        if not is_retired:
            assert list(sealed_records(apple)) == known
            for change in (
                lambda: apple.make_directory(at(E)),
                lambda: begin(apple, f"{E}/students.csv"),
            ):
                with pytest.raises(EpochSealed):
                    change()
        assert work() == work() == EPOCH
        assert names(apple, "/upload") == set()
        assert names(apple, P) == {"students.csv", "COMPLETE", *REPORTS}
        assert fetch(apple, f"{P}/students.csv") == STUDENTS
        for name, content in REPORTS.items():
            assert fetch(apple, f"{P}/{name}") == content
        assert mode(apple, P) == 0o550
        assert lock_names(apple) == set()
    assert ends == {(True, False, False), (False, True, False), (False, True, True)}


def test_a_move_goes_on_to_the_name_it_chose(
    apple: DistrictTree, afresh: Callable[[], None]
) -> None:
    """A number that was chosen because a name was taken stays, though that is free again."""
    known: list[SealRecord] = []

    def prepare() -> None:
        afresh()
        make_epoch(apple)
        first = seal(apple)
        move_to_processed(apple, first.id, first, reports={})
        make_epoch(apple)
        known[:] = [seal(apple)]

    def work() -> str:
        return move_to_processed(apple, known[0].id, read_record(apple, EPOCH), reports=REPORTS)

    for _ in after_each_kill(prepare, work, at_least=40):
        assert work() == f"{EPOCH}-2"
        assert names(apple, "/upload-processed") == {EPOCH, f"{EPOCH}-2"}


def test_while_names_change(apple: DistrictTree, afresh: Callable[[], None]) -> None:
    """Half a change of names is none; locks that stay behind hinder nobody."""

    def prepare() -> None:
        afresh()
        apple.make_directory(at("/upload/a"))
        send(apple, "/upload/b", b"b")

    def work() -> None:
        apple.rename(at("/upload/b"), at("/upload/a/b"), replace=False)
        apple.rename(at("/upload/a"), at("/upload/c"), replace=False)
        apple.remove_file(at("/upload/c/b"))
        apple.remove_directory(at("/upload/c"))

    for _ in after_each_kill(prepare, work, at_least=40):
        for text in ("/upload/c/b", "/upload/a/b", "/upload/b"):
            try:
                apple.remove_file(at(text))
            except Refusal:
                continue
        for text in ("/upload/c", "/upload/a"):
            if at(text).name in names(apple, "/upload"):
                apple.remove_directory(at(text))
        assert names(apple, "/upload") == set()
        make_epoch(apple)
        seal(apple)
