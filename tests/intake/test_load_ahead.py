# SPDX-License-Identifier: Apache-2.0
"""One item is made while the one before it is worked on."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from nightdrop.intake.ahead import one_ahead


def test_every_item_comes_in_order() -> None:
    assert list(one_ahead(iter("abc"))) == ["a", "b", "c"]
    assert list(one_ahead(iter(()))) == []


def test_the_next_item_is_made_before_it_is_asked_for() -> None:
    made = threading.Event()

    def items() -> Iterator[str]:
        yield "first"
        made.set()
        yield "second"

    with closing(one_ahead(items())) as ahead:
        assert next(ahead) == "first"
        assert made.wait(timeout=30)


def test_what_the_maker_raises_is_raised_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("torn")

    with closing(one_ahead(items())) as ahead:
        assert next(ahead) == 1
        with pytest.raises(OSError, match="torn"):
            next(ahead)


def test_closing_early_leaves_no_thread() -> None:
    before = threading.active_count()
    with closing(one_ahead(iter(range(5)))) as ahead:
        next(ahead)
    assert threading.active_count() == before
