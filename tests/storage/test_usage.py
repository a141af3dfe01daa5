# SPDX-License-Identifier: Apache-2.0
"""What a district may have in /upload: counted, refused, and corrected when it is wrong."""

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import pytest

from nightdrop.core.quota import Amount, Usage
from nightdrop.storage.claims import BLOCK_BYTES, MARKER_BYTES
from nightdrop.storage.confine import Confinement, detect_confinement
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import AlreadyThere, QuotaBytesRefused, QuotaFilesRefused
from nightdrop.storage.place import Place
from nightdrop.storage.processed import move_to_processed
from nightdrop.storage.seal import read_record
from nightdrop.storage.usage import (
    count_anew,
    look_at_count,
    look_at_usage,
    measure_upload,
    note_change,
)
from storage.cast import EPOCH, OTHER_EPOCH, at, begin, fetch, make_epoch, mode, names, seal, send
from storage.killing import every_kill

#: Root would be let through where an ordinary user is not.
pytestmark = pytest.mark.parametrize("ground", ["ordinary user"], indirect=True)

E = f"/upload/{EPOCH}"
KIB: Final = 1024
MIB: Final = 1024 * KIB


@pytest.fixture
def confinement() -> Confinement:
    """One way of confining will do: a quota does not care."""
    return detect_confinement()


def with_quota(tree: DistrictTree, *, size_bytes: int = 1 << 40, files: int = 1000) -> DistrictTree:
    return replace(tree, find_quota=lambda: Amount(size_bytes, files))


def usage(tree: DistrictTree) -> Usage:
    return look_at_count(tree.place).usage


def recount(tree: DistrictTree) -> None:
    assert count_anew(tree.place, older_than_seconds=0)


def is_exact(tree: DistrictTree) -> bool:
    return usage(tree) == measure_upload(tree.place)


def test_all_that_changes_it_is_counted(apple: DistrictTree) -> None:
    apple.make_directory(at("/upload/d"))
    send(apple, "/upload/d/x", b"x" * 100)
    assert usage(apple) == Usage(open=Amount(100, 2))
    send(apple, "/upload/d/x", b"x" * 40)
    send(apple, "/upload/y", b"y" * 7)
    assert usage(apple) == Usage(open=Amount(47, 3))
    apple.truncate(at("/upload/y"), 1000)
    apple.truncate(at("/upload/d/x"), 10)
    assert usage(apple) == Usage(open=Amount(1010, 3))
    apple.rename(at("/upload/y"), at("/upload/d/x"), replace=True)
    assert usage(apple) == Usage(open=Amount(1000, 2))
    apple.rename(at("/upload/d/x"), at("/upload/d/z"), replace=False)
    apple.make_directory(at("/upload/empty"))
    apple.rename(at("/upload/d"), at("/upload/empty"), replace=True)
    assert usage(apple) == Usage(open=Amount(1000, 2))
    apple.remove_file(at("/upload/empty/z"))
    apple.remove_directory(at("/upload/empty"))
    assert usage(apple) == Usage() == measure_upload(apple.place)


def test_what_fails_is_not_counted(apple: DistrictTree) -> None:
    apple.make_directory(at("/upload/d"))
    send(apple, "/upload/x", b"x")
    with pytest.raises(AlreadyThere):
        apple.make_directory(at("/upload/d"))
    with pytest.raises(AlreadyThere):
        begin(apple, "/upload/x", exclusive=True)
    with pytest.raises(AlreadyThere):
        apple.rename(at("/upload/x"), at("/upload/d"), replace=False)
    assert usage(apple) == Usage(open=Amount(1, 2))


def test_a_large_file_is_counted_while_it_grows(apple: DistrictTree) -> None:
    handle = begin(apple, "/upload/x")
    block = b"\0" * MIB
    for number in range(20):
        handle.write(number * MIB, block)
        claimed = usage(apple).open.size_bytes
        assert (number + 1) * MIB <= claimed <= (number + 1) * MIB + BLOCK_BYTES
    handle.close()
    assert usage(apple) == Usage(open=Amount(20 * MIB, 1))


def test_what_is_appended_is_counted(apple: DistrictTree) -> None:
    """The place that a client gives means nothing then."""
    tree = with_quota(apple, size_bytes=64 * KIB)
    send(tree, "/upload/x", b"x" * (40 * KIB))
    handle = begin(tree, "/upload/x", append=True)
    handle.write(0, b"y" * (24 * KIB))
    with pytest.raises(QuotaBytesRefused):
        handle.write(0, b"z")
    handle.abandon()
    assert usage(apple) == Usage(open=Amount(64 * KIB, 1))


def test_a_torn_file_is_counted_and_may_be_sent_again(apple: DistrictTree) -> None:
    handle = begin(apple, "/upload/x")
    handle.write(0, b"x" * 100)
    handle.abandon()
    assert usage(apple) == Usage(open=Amount(100, 1))
    send(apple, "/upload/x", b"x" * 90)
    assert usage(apple) == Usage(open=Amount(90, 1))
    begin(apple, "/upload/x").abandon()
    apple.remove_file(at("/upload/x"))
    assert usage(apple) == Usage()


@pytest.mark.parametrize("truncate", [True, False])
def test_a_file_that_loses_its_name_while_it_is_written(
    apple: DistrictTree, *, truncate: bool
) -> None:
    """It takes room until it is closed, and is not taken off the count twice."""
    send(apple, "/upload/y", b"y" * 5)
    handle = begin(apple, "/upload/x")
    handle.write(0, b"x" * 100)
    apple.remove_file(at("/upload/x"))
    assert usage(apple).open.size_bytes >= 105
    assert usage(apple).open.files == 1
    if truncate:
        handle.truncate(0)
    handle.close()
    assert usage(apple) == Usage(open=Amount(5, 1))


def test_several_writers_are_counted_too_much_rather_than_too_little(apple: DistrictTree) -> None:
    handles = [begin(apple, "/upload/x") for _ in range(3)]
    for number, handle in enumerate(handles):
        handle.write(number * MIB, b"x" * MIB)
    handles[0].truncate(MIB)
    for handle in handles:
        handle.close()
    assert usage(apple).open.size_bytes >= MIB
    recount(apple)
    assert usage(apple) == Usage(open=Amount(MIB, 1))


def test_who_leaves_first_gives_nothing_back(apple: DistrictTree) -> None:
    """What the file lost was counted once, for whoever is last."""
    send(apple, "/upload/other", b"o" * 100)
    first = begin(apple, "/upload/x")
    first.write(0, b"x" * 50)
    second = begin(apple, "/upload/x", truncate=True)
    first.close()
    second.close()
    assert usage(apple).open.size_bytes >= 100


def test_two_who_append_are_counted_both(apple: DistrictTree) -> None:
    first, second = (begin(apple, "/upload/x", append=True) for _ in range(2))
    second.write(0, b"s" * (20 * MIB))
    for _ in range(20):
        first.write(0, b"f" * MIB)
    assert usage(apple).open.size_bytes >= 40 * MIB
    for handle in (first, second):
        handle.close()
    assert usage(apple).open.size_bytes >= 40 * MIB


def test_a_close_that_fails_at_its_end_gives_back_once(
    apple: DistrictTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_epoch(apple)
    handle = begin(apple, f"{E}/guardians.csv")
    handle.write(0, b"g" * 10)
    left: list[bool] = []

    def sync(descriptor: int) -> None:
        # The second time is after the handle has left the file as whole.
        left.append(mode(apple, f"{E}/guardians.csv") == 0o641)
        if left[-1]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="Input/output error"):
        handle.close()
    assert left[-1]
    assert is_exact(apple)


def test_what_changes_while_it_is_counted_is_counted(
    apple: DistrictTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[Usage] = []

    def measure(place: Place) -> Usage:
        tries.append(measure_upload(place))
        if len(tries) == 1:
            send(apple, "/upload/late", b"l" * 100)
        return tries[-1]

    monkeypatch.setattr("nightdrop.storage.usage.measure_upload", measure)
    recount(apple)
    assert tries == [Usage(), Usage(open=Amount(100, 1))]
    assert is_exact(apple)


def test_bytes_beyond_the_quota_are_refused(apple: DistrictTree) -> None:
    tree = with_quota(apple, size_bytes=100 * KIB)
    send(tree, "/upload/x", b"x" * (60 * KIB))
    handle = begin(tree, "/upload/y")
    handle.write(0, b"y" * (40 * KIB))
    with pytest.raises(QuotaBytesRefused) as refusal:
        handle.write(40 * KIB, b"!")
    assert refusal.value.quota == Amount(100 * KIB, 1000)
    assert refusal.value.used.size_bytes == 100 * KIB
    for use in (lambda: handle.write(0, b"y"), handle.close):
        with pytest.raises(QuotaBytesRefused):
            use()
    assert mode(apple, "/upload/y") == 0o600
    assert fetch(apple, "/upload/x") == b"x" * (60 * KIB)
    apple.remove_file(at("/upload/x"))
    send(tree, "/upload/y", b"y" * (100 * KIB))
    assert mode(apple, "/upload/y") == 0o640
    assert is_exact(apple)


def test_a_file_is_not_made_longer_than_the_quota(apple: DistrictTree) -> None:
    tree = with_quota(apple, size_bytes=100)
    send(tree, "/upload/x", b"x" * 10)
    with pytest.raises(QuotaBytesRefused):
        tree.truncate(at("/upload/x"), 101)
    handle = begin(tree, "/upload/x")
    with pytest.raises(QuotaBytesRefused):
        handle.truncate(101)
    handle.abandon()
    tree.truncate(at("/upload/x"), 100)
    assert usage(apple) == Usage(open=Amount(100, 1))


def test_files_beyond_the_quota_are_refused(apple: DistrictTree) -> None:
    tree = with_quota(apple, files=2)
    tree.make_directory(at("/upload/d"))
    send(tree, "/upload/d/x", b"x")
    with pytest.raises(QuotaFilesRefused) as refusal:
        begin(tree, "/upload/d/y")
    assert (refusal.value.quota.files, refusal.value.used.files) == (2, 2)
    with pytest.raises(QuotaFilesRefused):
        begin(tree, "/upload/d/x", exclusive=True)
    with pytest.raises(QuotaFilesRefused):
        tree.make_directory(at("/upload/e"))
    with pytest.raises(AlreadyThere):
        tree.make_directory(at("/upload/d"))
    assert names(apple, "/upload") == {"d"}
    assert names(apple, "/upload/d") == {"x"}


def test_at_the_quota_all_else_goes_on(apple: DistrictTree) -> None:
    """What is there is renamed, sent again, removed, marked and sealed."""
    tree = with_quota(apple, size_bytes=100, files=3)
    tree.make_directory(at(E))
    send(tree, f"{E}/x", b"x" * 60)
    send(tree, f"{E}/y", b"y" * 40)
    tree.rename(at(f"{E}/x"), at(f"{E}/students.csv"), replace=False)
    send(tree, f"{E}/students.csv", b"z" * 60)
    tree.rename(at(f"{E}/y"), at(f"{E}/students.csv"), replace=True)
    send(tree, f"{E}/x", b"x" * 60)
    send(tree, f"{E}/COMPLETE", b"m" * MARKER_BYTES)
    seal(apple)
    assert is_exact(apple)


def test_a_marker_is_no_way_around_the_quota(apple: DistrictTree) -> None:
    tree = with_quota(apple, size_bytes=100, files=2)
    tree.make_directory(at(E))
    send(tree, f"{E}/x", b"x" * 100)
    handle = begin(tree, f"{E}/COMPLETE")
    handle.write(0, b"m")
    with pytest.raises(QuotaBytesRefused):
        handle.write(MARKER_BYTES, b"m")
    handle.abandon()
    with pytest.raises(QuotaFilesRefused):
        begin(tree, "/upload/COMPLETE")


def test_sealed_epochs_count_half_of_the_quota_at_most(apple: DistrictTree) -> None:
    tree = with_quota(apple, size_bytes=1000)
    tree.make_directory(at(E))
    send(tree, f"{E}/students.csv", b"x" * 900)
    send(tree, f"{E}/COMPLETE")
    seal(apple)
    assert usage(apple) == Usage(sealed=Amount(900, 3))
    assert is_exact(apple)
    tree.make_directory(at(f"/upload/{OTHER_EPOCH}"))
    send(tree, f"/upload/{OTHER_EPOCH}/students.csv", b"x" * 500)
    handle = begin(tree, "/upload/y")
    with pytest.raises(QuotaBytesRefused) as refusal:
        handle.write(0, b"x")
    assert refusal.value.used.size_bytes == 1000
    handle.abandon()
    record = read_record(apple, EPOCH)
    assert record is not None
    move_to_processed(apple, record.id, record, reports={"REPORT.txt": b"r" * 5000})
    assert usage(apple) == Usage(open=Amount(500, 3))
    send(tree, "/upload/y", b"x" * 500)
    assert is_exact(apple)


def test_another_quota_holds_for_a_file_that_is_open(apple: DistrictTree) -> None:
    quota = Amount(100 * KIB, 10)
    tree = replace(apple, find_quota=lambda: quota)
    handle = begin(tree, "/upload/x")
    handle.write(0, b"x" * (100 * KIB))
    quota = Amount(200 * KIB, 10)
    handle.write(100 * KIB, b"x" * (100 * KIB))
    handle.close()
    assert usage(apple) == Usage(open=Amount(200 * KIB, 1))


def test_before_a_refusal_a_wrong_count_is_corrected(apple: DistrictTree) -> None:
    tree = with_quota(apple, size_bytes=100, files=10)
    wrong = Amount(10**9, 10**6)
    send(tree, "/upload/x")
    for request in (
        lambda: send(tree, "/upload/x", b"x" * 50),
        lambda: tree.make_directory(at("/upload/d")),
        lambda: tree.truncate(at("/upload/x"), 60),
    ):
        forget_when_it_was_counted(apple)
        note_change(apple.place, lambda before: before.adding(wrong))
        request()
    assert usage(apple) == Usage(open=Amount(60, 2))


def forget_when_it_was_counted(tree: DistrictTree) -> None:
    """Make the last count as old as can be."""
    with (tree.place.path / "writers").open("r+b") as file:
        file.seek(21 * 5)
        file.write(b"%020d" % 0)


def test_it_is_counted_anew_once_a_minute_at_most(apple: DistrictTree) -> None:
    tree = with_quota(apple, size_bytes=100)
    handle = begin(tree, "/upload/x")
    for _ in range(3):
        with pytest.raises(QuotaBytesRefused):
            handle.write(0, b"x" * 101)
        with pytest.raises(QuotaBytesRefused):
            tree.truncate(at("/upload/x"), 101)
    assert look_at_count(apple.place).number == 1
    handle.abandon()


def test_of_those_who_would_count_one_does(apple: DistrictTree) -> None:
    """The others wait for it, and know that the count is another one now."""
    for number in range(300):
        (apple.place.path / "upload" / f"{number}").touch()
    outcomes: list[bool] = []
    gate = threading.Barrier(4)

    def count() -> None:
        gate.wait()
        outcomes.append(count_anew(apple.place, older_than_seconds=60))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert look_at_count(apple.place).number == 1
    assert True in outcomes
    assert usage(apple).open.files == 300


def test_what_was_removed_by_hand_is_found_out(apple: DistrictTree) -> None:
    make_epoch(apple)
    send(apple, "/upload/x", b"x" * 100)
    (apple.place.path / "upload" / "x").unlink()
    assert not is_exact(apple)
    recount(apple)
    assert is_exact(apple)


@pytest.mark.parametrize("content", [b"", b"rubbish\n", b"1 2 3", b"\xff" * 126])
def test_a_count_that_cannot_be_read_refuses_nothing(apple: DistrictTree, content: bytes) -> None:
    tree = with_quota(apple, size_bytes=100)
    send(tree, "/upload/x", b"x" * 90)
    (apple.place.path / "writers").write_bytes(content)
    assert look_at_usage(apple.place) == Usage(open=Amount(90, 1))
    send(tree, "/upload/y", b"y" * 10)
    handle = begin(tree, "/upload/z")
    recount(apple)
    with pytest.raises(QuotaBytesRefused):
        handle.write(0, b"z" * 10)
    handle.abandon()


def test_idle_handles_do_not_use_up_what_is_left(apple: DistrictTree) -> None:
    tree = with_quota(apple, size_bytes=10 * MIB)
    idle = [begin(tree, f"/upload/{number}") for number in range(50)]
    send(tree, "/upload/x", b"x" * (3 * MIB))
    assert look_at_count(apple.place).number == 0
    for handle in idle:
        handle.close()
    assert is_exact(apple)


def test_the_space_that_is_told(apple: DistrictTree) -> None:
    tree = with_quota(apple, size_bytes=MIB, files=10)
    make_epoch(tree)
    told = tree.space()
    assert told.total == Amount(MIB, 10)
    assert told.free == told.total - usage(apple).open
    disk = apple.space()
    assert with_quota(apple, size_bytes=1 << 60).space().free.size_bytes <= disk.total.size_bytes


def hammer(tree: DistrictTree, name: str) -> None:
    """Send, send again and remove, as far as the quota lets it."""
    for number in range(30):
        path = f"/upload/{name}-{number % 4}"
        handle = begin(tree, path, truncate=True)
        try:
            for part in range(1 + number % 5):
                handle.write(part * 32 * KIB, b"x" * (32 * KIB))
        except QuotaBytesRefused:
            handle.abandon()
            (tree.place.path / "was-refused").touch()
        else:
            handle.close()
        if number % 7 == 3:
            tree.remove_file(at(path))


def test_several_processes_share_one_quota(apple: DistrictTree) -> None:
    """Without being counted anew, for that was just done."""
    tree = with_quota(apple, size_bytes=500 * KIB)
    recount(apple)
    children = [fork(partial(hammer, tree, name)) for name in ("a", "b", "c")]
    most = 0
    while children:
        done, status = os.waitpid(-1, os.WNOHANG)
        if done in children:
            assert status == 0
            children.remove(done)
        most = max(most, usage(apple).open.size_bytes)
    assert most <= 500 * KIB
    assert (apple.place.path / "was-refused").exists()
    assert look_at_count(apple.place).number == 1
    assert is_exact(apple)


def fork(work: Callable[[], object]) -> int:
    process_id = os.fork()
    if process_id:
        return process_id
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def test_a_kill_while_files_are_sent_is_found_out(apple: DistrictTree) -> None:
    def prepare() -> None:
        send(apple, "/upload/old", b"o" * 100)

    def work() -> None:
        send(apple, "/upload/new", b"n" * 1000)
        apple.rename(at("/upload/new"), at("/upload/old"), replace=True)
        apple.remove_file(at("/upload/old"))

    wrong = 0
    for _ in every_kill(prepare, work):
        wrong += not is_exact(apple)
        recount(apple)
        assert is_exact(apple)
    assert wrong > 10


def test_a_kill_while_an_epoch_is_sealed_and_moved_is_found_out(apple: DistrictTree) -> None:
    epochs = [f"20260101-{number:06d}" for number in range(1000)]

    def work() -> None:
        record = seal(apple, epochs[0])
        move_to_processed(apple, record.id, record, reports={})

    wrong = 0
    for _ in every_kill(lambda: make_epoch(apple, epochs[0]), work):
        wrong += not is_exact(apple)
        recount(apple)
        assert is_exact(apple)
        del epochs[0]
    assert wrong > 5
