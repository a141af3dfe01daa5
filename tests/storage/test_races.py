# SPDX-License-Identifier: Apache-2.0
"""Two processes at one time, as two nodes or two workers are.

Where an order matters it is made with pipes; where any order must do, many rounds are run with
both sides let go at the same moment.
"""

import fcntl
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from nightdrop.core.errors import Refusal
from nightdrop.storage.confine import Confinement, detect_confinement
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import EpochBusy
from nightdrop.storage.locks import EntryLock, take_alone, take_sealed, take_shared, take_to_seal
from nightdrop.storage.processed import move_to_processed
from nightdrop.storage.seal import SealRecord, SealWait, read_record, sealed_records, try_seal
from storage.cast import BY_SFTP, EPOCH, at, begin, fetch, make_epoch, names, seal, send, why_not

#: Root would be let through where an ordinary user is not.
pytestmark = pytest.mark.parametrize("ground", ["ordinary user"], indirect=True)

E = f"/upload/{EPOCH}"
ROUNDS = 40
SENTENCE = "wrong: "


@pytest.fixture
def confinement() -> Confinement:
    """One way of confining will do: a race does not care."""
    return detect_confinement()


class Other:
    """Another process, which does one thing and says what came of it."""

    def __init__(self, work: Callable[[], object]) -> None:
        answer, tell = os.pipe()
        self._answer = answer
        self._process_id = os.fork()
        if self._process_id == 0:
            os.write(tell, _say(work).encode())
            os._exit(0)
        os.close(tell)

    def result(self) -> str:
        """Return what it came to: "ok", the name of a refusal, or what went wrong."""
        text = os.read(self._answer, 4096).decode()
        os.close(self._answer)
        os.waitpid(self._process_id, 0)
        assert not text.startswith(SENTENCE), text
        return text


def _say(work: Callable[[], object]) -> str:
    try:
        work()
    except Refusal as refusal:
        return type(refusal).__name__
    except BaseException as fault:  # noqa: BLE001 - nothing may leave a forked child
        return f"{SENTENCE}{fault!r}"
    return "ok"


class Gate:
    """Holds several processes and lets them go at one moment."""

    def __init__(self) -> None:
        self._closed, self._open = os.pipe()

    def wait(self) -> None:
        os.close(self._open)
        os.read(self._closed, 1)

    def let_go(self) -> None:
        os.close(self._open)
        os.close(self._closed)


def race(*works: Callable[[], object]) -> list[str]:
    gate = Gate()

    def start(work: Callable[[], object]) -> Other:
        def wait_and_work() -> None:
            gate.wait()
            work()

        return Other(wait_and_work)

    others = [start(work) for work in works]
    gate.let_go()
    return [other.result() for other in others]


def test_another_process_that_writes_keeps_the_name_and_the_seal_waiting(
    apple: DistrictTree,
) -> None:
    make_epoch(apple)
    handle = begin(apple, f"{E}/guardians.csv")

    def rename() -> None:
        apple.rename(at(E), at("/upload/x"), replace=False)

    assert Other(rename).result() == "EpochBusy"
    assert why_not(apple) is SealWait.BEING_WRITTEN
    handle.close()
    assert Other(rename).result() == "ok"


def test_who_opens_while_another_seals_waits_and_is_refused(apple: DistrictTree) -> None:
    make_epoch(apple)
    lock = take_to_seal(apple.place, EPOCH)
    assert lock is not None
    opener = Other(lambda: begin(apple, f"{E}/guardians.csv"))
    wait_until_locked_out(apple)
    record = SealRecord.from_json(
        {
            "id": str(uuid4()),
            "district": str(apple.id),
            "epoch": EPOCH,
            "sealed_at": "2026-09-28T02:14:07+00:00",
            "marker": "COMPLETE",
            "source": "sftp",
            "session": None,
            "session_open": False,
            "fingerprint": None,
            "files": [],
            "directories": [],
        }
    )
    lock.add_seal(record)
    lock.release()
    assert opener.result() == "EpochSealed"
    assert names(apple, E) == {"students.csv", "COMPLETE"}


def test_who_would_write_to_a_sealed_epoch_does_not_hold_up_its_move(apple: DistrictTree) -> None:
    make_epoch(apple)
    seal(apple)
    with_lock = take_sealed(apple.place, EPOCH)
    assert with_lock is not None
    assert Other(lambda: begin(apple, f"{E}/guardians.csv")).result() == "EpochSealed"
    with_lock.release()


def test_who_opens_while_another_renames_gets_the_new_state(apple: DistrictTree) -> None:
    """The lock that it waited for is no longer that of the name."""
    apple.make_directory(at("/upload/a"))
    lock = take_alone(apple.place, "a")
    opener = Other(lambda: begin(apple, "/upload/a/x"))
    wait_until_locked_out(apple)
    upload = apple.place.path / "upload"
    (upload / "a").rename(upload / "b")
    lock.release()
    assert opener.result() == "NoSuchFile"
    assert not (apple.place.path / "locks" / "a").exists()


def test_who_lets_go_of_a_lock_leaves_the_next_one_alone(
    apple: DistrictTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a shared lock and one taken alone is a moment in which a name may change hands."""
    lock = take_shared(apple.place, "a")
    original = fcntl.flock
    held: list[EntryLock] = []

    def change_hands(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", original)
        original(descriptor, fcntl.LOCK_UN)
        take_alone(apple.place, "a").release()
        held.append(take_shared(apple.place, "a"))
        original(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", change_hands)
    lock.release()
    assert (apple.place.path / "locks" / "a").exists()
    with pytest.raises(EpochBusy):
        take_alone(apple.place, "a")
    held[0].release()
    assert not (apple.place.path / "locks" / "a").exists()


def test_locks_are_taken_in_the_order_of_their_names(apple: DistrictTree) -> None:
    """Who waits for the first does not hold the second: so no two wait for each other."""
    for name in ("a", "b"):
        apple.make_directory(at(f"/upload/{name}"))
    send(apple, "/upload/b/x")
    lock = take_alone(apple.place, "a")
    other = Other(lambda: apple.rename(at("/upload/b/x"), at("/upload/a/x"), replace=False))
    wait_until_locked_out(apple)
    take_alone(apple.place, "b").release()
    lock.release()
    assert other.result() == "ok"


def wait_until_locked_out(tree: DistrictTree) -> None:
    """Wait until somebody is held up by a lock of this district."""
    inodes = {f":{path.stat().st_ino} " for path in (tree.place.path / "locks").iterdir()}
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        waiting = [line for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
        if any(inode in line for line in waiting for inode in inodes):
            return
    pytest.fail("nobody waits for the lock")


def test_rename_against_open(apple: DistrictTree) -> None:
    """A file that was opened in an epoch and closed is in it, under whichever name."""
    ends = set()
    for number in range(ROUNDS):
        apple.make_directory(at("/upload/tmp"))
        rename = partial(apple.rename, at("/upload/tmp"), at(f"/upload/{number}"), replace=False)
        opened, renamed = race(lambda: send(apple, "/upload/tmp/x", b"x"), rename)
        assert opened in {"ok", "NoSuchFile"}
        assert renamed in {"ok", "EpochBusy"}
        assert "ok" in {opened, renamed}
        if renamed != "ok":
            rename()
        assert names(apple, f"/upload/{number}") == ({"x"} if opened == "ok" else set())
        ends.add((opened, renamed))
    assert len({path.name for path in (apple.place.path / "locks").iterdir()}) <= ROUNDS


def test_seal_against_open(apple: DistrictTree) -> None:
    """What was answered with success is in the seal, and what is not in it was refused."""
    for number in range(ROUNDS):
        epoch = f"20260928-{number:06}"
        make_epoch(apple, epoch)
        results = race(
            partial(send, apple, f"/upload/{epoch}/guardians.csv", b"12345"),
            partial(seal_now, apple, epoch),
            partial(seal_now, apple, epoch),
        )
        assert results[0] in {"ok", "EpochSealed"}
        record = read_record(apple, epoch) or seal(apple, epoch)
        sizes = {file.name: file.size_bytes for file in record.files}
        assert ("guardians.csv" in sizes) is (results[0] == "ok")
        assert sizes.get("guardians.csv", 5) == 5
    assert len(list(sealed_records(apple))) == ROUNDS


def seal_now(tree: DistrictTree, epoch: str) -> None:
    try_seal(tree, epoch, seal_id=uuid4(), quiet_seconds=0, sealed_by=BY_SFTP)


def test_seal_against_seal(apple: DistrictTree) -> None:
    """Many try, and an epoch has one identity."""
    for number in range(ROUNDS // 2):
        epoch = f"20260928-{number:06}"
        make_epoch(apple, epoch)
        race(*[partial(seal_now, apple, epoch)] * 4)
        first = read_record(apple, epoch)
        assert first is not None
        seal_now(apple, epoch)
        assert read_record(apple, epoch) == first


def test_move_against_move(apple: DistrictTree) -> None:
    """Two workers that do one job twice move the epoch once."""
    for _ in range(ROUNDS // 2):
        make_epoch(apple)
        record = seal(apple)
        move = partial(move_to_processed, apple, record.id, record, reports={"REPORT.txt": b"x"})
        assert race(move, move, move) == ["ok"] * 3
    assert len(names(apple, "/upload-processed")) == ROUNDS // 2


def test_closes_against_closes(apple: DistrictTree) -> None:
    """Several processes each write a part of one file; when all closed cleanly it is whole."""
    for _ in range(ROUNDS):
        parts = [partial(write_part, apple, number) for number in range(3)]
        assert race(*parts) == ["ok"] * 3
        assert apple.place.path.joinpath("upload", "x").stat().st_mode & 0o777 == 0o640
        assert fetch(apple, "/upload/x") == b"000111222"
        apple.remove_file(at("/upload/x"))


def write_part(tree: DistrictTree, number: int) -> None:
    handle = begin(tree, "/upload/x")
    handle.write(number * 3, b"%d" % number * 3)
    handle.close()


def test_marker_against_file(apple: DistrictTree) -> None:
    """A file and the marker that close together are both whole, in whichever order."""
    for number in range(ROUNDS):
        epoch = f"20260928-{number:06}"
        apple.make_directory(at(f"/upload/{epoch}"))
        results = race(
            partial(send, apple, f"/upload/{epoch}/students.csv", b"x"),
            partial(send, apple, f"/upload/{epoch}/COMPLETE"),
        )
        assert results == ["ok", "ok"]
        assert [file.name for file in seal(apple, epoch).files] == ["students.csv"]


def test_names_against_names(apple: DistrictTree) -> None:
    """Entries that come and go under one name leave no lock behind, and nobody hangs."""

    def come_and_go() -> None:
        for _ in range(30):
            try:
                apple.make_directory(at("/upload/d"))
                apple.remove_directory(at("/upload/d"))
            except Refusal:
                continue

    def send_and_remove() -> None:
        for _ in range(30):
            try:
                send(apple, "/upload/d/x")
                apple.remove_file(at("/upload/d/x"))
            except Refusal:
                continue

    for _ in range(5):
        assert race(come_and_go, come_and_go, send_and_remove) == ["ok"] * 3
        for text in ("/upload/d/x", "/upload/d"):
            remove = apple.remove_file if text.endswith("x") else apple.remove_directory
            try:
                remove(at(text))
            except Refusal:
                continue
        assert names(apple, "/upload") == set()
        assert list((apple.place.path / "locks").iterdir()) == []


def test_renames_across_never_wait_for_each_other(apple: DistrictTree) -> None:
    """Two that move things between the same two directories, each the other way."""

    def there_and_back(here: str, there: str, name: str) -> None:
        for _ in range(50):
            for old, new in ((here, there), (there, here)):
                try:
                    apple.rename(
                        at(f"/upload/{old}/{name}"), at(f"/upload/{new}/{name}"), replace=False
                    )
                except Refusal:
                    continue

    for text in ("a", "b"):
        apple.make_directory(at(f"/upload/{text}"))
    send(apple, "/upload/a/x")
    send(apple, "/upload/b/y")
    results = race(lambda: there_and_back("a", "b", "x"), lambda: there_and_back("b", "a", "y"))
    assert results == ["ok", "ok"]
    assert names(apple, "/upload/a") | names(apple, "/upload/b") == {"x", "y"}
