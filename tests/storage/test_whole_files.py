# SPDX-License-Identifier: Apache-2.0
"""When a file has arrived whole: after the last handle that wrote to it closed cleanly."""

import itertools
import os
import signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightdrop.storage.district import DistrictTree
from nightdrop.storage.errors import TooManyWriters
from nightdrop.storage.modes import (
    MAX_WRITERS,
    is_whole,
    read_further_writers,
    write_further_writers,
)
from storage.cast import at, begin, mode, send
from storage.killing import run_killed, watched_calls

X = "/upload/x"


def test_a_file_is_whole_after_a_clean_close(apple: DistrictTree) -> None:
    handle = begin(apple, X)
    assert mode(apple, X) == 0o600
    assert handle.close().is_whole
    assert mode(apple, X) == 0o640


def test_a_broken_connection_leaves_it_torn(apple: DistrictTree) -> None:
    handle = begin(apple, X)
    handle.write(0, b"half")
    handle.abandon()
    assert mode(apple, X) == 0o600
    handle.abandon()


def test_sending_again_mends_it(apple: DistrictTree) -> None:
    begin(apple, X).abandon()
    resumed = begin(apple, X, create=False)
    assert mode(apple, X) == 0o600
    assert resumed.close().is_whole
    assert mode(apple, X) == 0o640


def test_a_file_that_is_opened_again_is_not_whole_meanwhile(apple: DistrictTree) -> None:
    send(apple, X, b"whole")
    handle = begin(apple, X)
    assert mode(apple, X) == 0o600
    handle.close()
    assert mode(apple, X) == 0o640


def test_it_is_not_whole_before_it_is_emptied(apple: DistrictTree) -> None:
    """A kill between the two would leave an empty file that counts as whole."""
    send(apple, X, b"whole")
    seen: list[int] = []

    def note(name: str, _args: tuple[object, ...]) -> None:
        if name == "ftruncate":
            seen.append(mode(apple, X))

    with watched_calls(note):
        handle = begin(apple, X, truncate=True)
    handle.abandon()
    assert seen == [0o600]


def test_the_last_of_several_handles_makes_it_whole(apple: DistrictTree) -> None:
    first, second, third = (begin(apple, X) for _ in range(3))
    assert not second.close().is_whole
    assert not is_whole(mode(apple, X))
    fourth = begin(apple, X)
    assert not first.close().is_whole
    assert not fourth.close().is_whole
    assert third.close().is_whole
    assert mode(apple, X) == 0o640


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_one_that_broke_off_spoils_it_for_the_others(
    apple: DistrictTree, order: tuple[int, int, int]
) -> None:
    """Whichever of three handles is abandoned, and whenever the others close."""
    handles = [begin(apple, X) for _ in range(3)]
    for place, number in enumerate(order):
        if number == 0:
            handles[number].abandon()
        else:
            is_last_and_alone = handles[number].close().is_whole
            assert not is_last_and_alone, place
    assert mode(apple, X) == 0o600
    send(apple, X, b"again")
    assert mode(apple, X) == 0o640


def test_one_whose_process_was_killed_spoils_it_for_the_others(apple: DistrictTree) -> None:
    """Nobody is left to say so: the count in the mode does."""
    survivor = begin(apple, X)

    def die() -> None:
        begin(apple, X).write(0, b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    assert run_killed(die, before_call=10_000)
    assert not survivor.close().is_whole
    assert mode(apple, X) == 0o600


def test_the_first_of_two_may_be_the_one_that_was_killed(apple: DistrictTree) -> None:
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        begin(apple, X)
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os.kill(os.getpid(), signal.SIGKILL)
    os.read(ready[0], 1)
    survivor = begin(apple, X)
    os.write(go[1], b"x")
    os.waitpid(child, 0)
    for descriptor in (*ready, *go):
        os.close(descriptor)
    assert not survivor.close().is_whole
    assert mode(apple, X) == 0o600


def test_only_so_many_write_at_one_time(apple: DistrictTree) -> None:
    handles = [begin(apple, X) for _ in range(MAX_WRITERS)]
    with pytest.raises(TooManyWriters) as refused:
        begin(apple, X)
    assert refused.value.limit == MAX_WRITERS
    assert refused.value.retry
    for handle in handles[1:]:
        assert not handle.close().is_whole
    assert handles[0].close().is_whole


def test_one_that_is_refused_spoils_nothing(apple: DistrictTree) -> None:
    handles = [begin(apple, X) for _ in range(MAX_WRITERS)]
    with pytest.raises(TooManyWriters):
        begin(apple, X, truncate=True)
    assert [handle.close().is_whole for handle in handles] == [False] * 7 + [True]


def test_a_cut_by_path_makes_nothing_whole(apple: DistrictTree) -> None:
    begin(apple, X).abandon()
    apple.truncate(at(X), 0)
    assert mode(apple, X) == 0o600
    send(apple, X, b"whole")
    apple.truncate(at(X), 1)
    assert mode(apple, X) == 0o640


def test_a_rename_keeps_what_a_file_is(apple: DistrictTree) -> None:
    begin(apple, X).abandon()
    apple.rename(at(X), at("/upload/y"), replace=False)
    assert mode(apple, "/upload/y") == 0o600
    send(apple, X)
    apple.rename(at(X), at("/upload/y"), replace=True)
    assert mode(apple, "/upload/y") == 0o640


@pytest.mark.parametrize("count", range(MAX_WRITERS))
def test_a_mode_counts_writers(count: int) -> None:
    counted = write_further_writers(count)
    assert read_further_writers(counted) == count
    assert not is_whole(counted)
    assert counted & 0o066 == 0


Step = tuple[str, int]


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(st.sampled_from(["open", "close", "abandon"]), st.integers(0, 4)), max_size=30
    )
)
def test_any_order_of_handles_is_counted(apple: DistrictTree, steps: list[Step]) -> None:
    """A file is whole exactly if nobody is at it and nobody of its last company broke off."""
    send(apple, X)
    handles = [begin(apple, X)]
    handles.pop().close()
    is_spoilt = False
    for act, number in steps:
        if act == "open" and len(handles) < 3:
            is_spoilt = is_spoilt and bool(handles)
            handles.append(begin(apple, X))
        elif act != "open" and handles:
            handle = handles.pop(number % len(handles))
            is_spoilt = is_spoilt or act == "abandon"
            if act == "close":
                handle.close()
            else:
                handle.abandon()
        expected = not handles and not is_spoilt
        assert is_whole(mode(apple, X)) is expected
    for handle in handles:
        handle.abandon()
