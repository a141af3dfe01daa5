# SPDX-License-Identifier: Apache-2.0
"""Hashes depend on what is in a row, and on what could make them come out differently."""

import subprocess
import sys

import polars as pl
import pytest

from nightdrop.intake import hashing
from nightdrop.intake.hashing import hash_keys, hash_rows

ROWS = pl.DataFrame({"a": ["x", "x", None, ""], "b": ["y", None, "y", "x"]})
IN_ANOTHER_PROCESS = """
import polars as pl
from nightdrop.intake.hashing import hash_rows
print(*hash_rows(pl.DataFrame({"a": ["x", "x", None, ""], "b": ["y", None, "y", "x"]}),
                 columns=("a", "b")))
"""


@pytest.fixture
def fresh_seed() -> None:
    hashing._seed.cache_clear()


def test_another_process_finds_the_same() -> None:
    run = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS], check=True, capture_output=True, text=True
    )
    assert [int(word) for word in run.stdout.split()] == hash_rows(
        ROWS, columns=("a", "b")
    ).to_list()


def test_cells_do_not_run_into_each_other() -> None:
    rows = pl.DataFrame(
        {"a": ["ab", "a", "", None, "ab"], "b": ["", "b", "ab", "ab", None]},
    )
    assert hash_rows(rows, columns=("a", "b")).n_unique() == 5


def test_the_supplied_columns_count() -> None:
    """An empty column says something else than one that is not there."""
    only = hash_rows(ROWS, columns=("a",))
    assert not (only == hash_rows(ROWS.with_columns(b=None), columns=("a", "b"))).any()


def test_the_order_of_a_files_columns_does_not_count() -> None:
    turned = hash_rows(ROWS.select("b", "a"), columns=("a", "b"))
    assert turned.to_list() == hash_rows(ROWS, columns=("a", "b")).to_list()


@pytest.mark.usefixtures("fresh_seed")
def test_another_version_of_polars_changes_every_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_rows(ROWS, columns=("a", "b"))
    hashing._seed.cache_clear()
    monkeypatch.setattr(pl, "__version__", "0.0.0")
    assert not (before == hash_rows(ROWS, columns=("a", "b"))).any()
    hashing._seed.cache_clear()


def test_keys_are_equal_whatever_their_columns_are_called() -> None:
    keys = hash_keys(pl.DataFrame({"student_id": ["1", "2"]}))
    assert keys.to_list() == hash_keys(pl.DataFrame({"id": ["1", "2"]})).to_list()
    assert keys.dtype == pl.Int64


def test_alike_rows_do_not_collide() -> None:
    """A quarter of a million rows that differ in little; by chance it happens in 2**-29."""
    numbers = pl.int_range(500, eager=True).cast(pl.String)
    rows = pl.DataFrame({"a": numbers}).join(pl.DataFrame({"b": numbers}), how="cross")
    assert hash_rows(rows, columns=("a", "b")).n_unique() == rows.height
