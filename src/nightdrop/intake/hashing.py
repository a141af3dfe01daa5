# SPDX-License-Identifier: Apache-2.0
"""Hashes of rows and keys: 64 bits each, as signed integers, as PostgreSQL keeps them.

**Row hashes are stored** and compared with those of the next delivery; what is equal is
taken for unchanged. They come from Polars, which hashes 1.3 million rows in 0.05 s, where
one call of `hashlib` per row takes 1.5 s. Polars promises its hashes only within one
version, so the seed holds all that could make them differ for the same row: our version
of the construction, Polars' version, what Polars makes of a set of texts on *this*
machine (its functions differ in the length of the text, and could differ with the
processor), and the columns that the file supplies, because a missing column means
something else than an empty one. When any of it changes, each row looks changed; the load
then compares cell by cell and finds nothing. That costs one slow night and no fault.

**Key hashes never leave a delivery**; they tell rows of its files apart.

**Collisions.** An update is missed when the hash of a changed row equals that of any row
on the roster: with 800,000 rows of which 8,000 change, 8e5 * 8e3 / 2**64 = 3.5e-10 a
night, so once in eight million years. Two different keys of one delivery collide with
(8e5)**2 / 2 / 2**64 = 1.7e-8; both rows would be reported as conflicting and left out,
and the next night is the same, so it would be seen.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Final

import polars as pl

#: Raise it when the construction changes: another order of cells, another null.
_VERSION: Final = 1
#: Polars' hash functions branch on the length of a text; these lengths touch each branch.
_PROBE: Final = "nightdrop" * 34


def hash_rows(frame: pl.DataFrame, *, columns: Sequence[str]) -> pl.Series:
    """Hash the canonical cells of each row.

    Shape: Int64. `columns` are the supplied columns in the order of the table's
           declaration, so that their order in the file means nothing.
    """
    return frame.select(columns).hash_rows(_seed("row", *columns)).reinterpret(signed=True)


def hash_keys(frame: pl.DataFrame) -> pl.Series:
    """Hash each row of key cells; equal for equal cells, whatever the columns' names.

    Shape: Int64.
    """
    return frame.hash_rows(_seed("key")).reinterpret(signed=True)


@cache
def _seed(*parts: str) -> int:
    basis = (str(_VERSION), pl.__version__, _fingerprint(), *parts)
    digest = hashlib.blake2b("\x1f".join(basis).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@cache
def _fingerprint() -> str:
    texts = [None, *(_PROBE[:length] for length in range(len(_PROBE)))]
    probe = pl.DataFrame({"one": texts, "other": texts[::-1]})
    hashes = ",".join(map(str, probe.hash_rows(_VERSION)))
    return hashlib.blake2b(hashes.encode(), digest_size=8).hexdigest()
