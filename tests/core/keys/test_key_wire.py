# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.core.keys.errors import NumberNotCanonical, TrailingBytes, Truncated
from nightdrop.core.keys.wire import (
    WireReader,
    least_size_of_strings,
    write_mpint,
    write_string,
)


@given(st.integers(min_value=0, max_value=2**2100))
def test_a_number_survives_writing_and_reading(number: int) -> None:
    assert WireReader(write_mpint(number)).mpint("n") == number


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00000000"),
        (0x9A378F9B2E332A7, "0000000809a378f9b2e332a7"),
        (0x80, "000000020080"),
    ],
)
def test_numbers_are_written_as_the_examples_of_rfc_4251(number: int, encoded: str) -> None:
    assert write_mpint(number).hex() == encoded


@pytest.mark.parametrize("content", [b"\x80", b"\xff\x01", b"\x00", b"\x00\x7f", b"\x00\x00\x80"])
def test_another_spelling_of_a_number_is_refused(content: bytes) -> None:
    with pytest.raises(NumberNotCanonical) as caught:
        WireReader(write_string(content)).mpint("modulus")
    assert (caught.value.field, caught.value.offset) == ("modulus", 4)


def test_a_string_that_is_cut_off_says_how_much_is_missing() -> None:
    with pytest.raises(Truncated) as caught:
        WireReader(b"\0\0\0\5abc").string("point")
    assert (caught.value.field, caught.value.missing_bytes, caught.value.offset) == ("point", 2, 7)


def test_bytes_behind_the_last_field_are_counted() -> None:
    reader = WireReader(write_string(b"abc") + b"xy")
    reader.string("point")
    with pytest.raises(TrailingBytes) as caught:
        reader.finish()
    assert (caught.value.count, caught.value.offset) == (2, 7)


def test_the_least_size_becomes_exact_with_the_last_length() -> None:
    data = write_string(b"abc") + write_string(b"defgh")
    sizes = [least_size_of_strings(data[:size], count=2) for size in range(len(data) + 1)]
    assert sizes[:4] == [4] * 4
    assert sizes[4:11] == [11] * 7
    assert sizes[11:] == [16] * 6
