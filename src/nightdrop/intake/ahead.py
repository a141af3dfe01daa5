# SPDX-License-Identifier: Apache-2.0
"""Working on one item while the next is being made."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


def one_ahead(items: Iterator[_T]) -> Generator[_T]:
    """Give the items, each while a thread makes the one after it.

    Pays where both sides leave Python's lock: Polars does, and so does waiting for the
    database. At most two items exist at a time. What `items` raises is raised here.
    Close it when not all items are taken: that waits for the one being made.
    """
    with ThreadPoolExecutor(max_workers=1) as maker:
        following = maker.submit(next, items, None)
        while (item := following.result()) is not None:
            following = maker.submit(next, items, None)
            yield item
