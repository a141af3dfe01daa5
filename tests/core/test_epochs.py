# SPDX-License-Identifier: Apache-2.0
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.core.epochs import (
    Marker,
    NotAnEpochName,
    is_epoch_name,
    marker_of,
    read_epoch_name,
)


def test_a_name_says_when_its_sender_thinks_it_is() -> None:
    name = read_epoch_name("20260928-021407")
    assert name.text == "20260928-021407"
    assert name.at == datetime(2026, 9, 28, 2, 14, 7)  # noqa: DTZ001 - naive on purpose


@pytest.mark.parametrize("text", ["20200101-139029", "20261301-000000", "00000000-000000"])
def test_digits_that_are_no_time_are_a_name_all_the_same(text: str) -> None:
    assert read_epoch_name(text).at is None
    assert is_epoch_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20260928",
        "20260928021407",
        "20260928_021407",
        "2026-09-28-021407",
        "20260928-0214",
        "20260928-021407-2",
        " 20260928-021407",
        "20260928-021407\n",
        "\N{FULLWIDTH DIGIT TWO}0260928-021407",
        "٢٠٢٦٠٩٢٨-٠٢١٤٠٧",
    ],
)
def test_everything_else_is_none(text: str) -> None:
    assert not is_epoch_name(text)
    with pytest.raises(NotAnEpochName) as refused:
        read_epoch_name(text)
    assert refused.value.text == text


@given(st.text(max_size=20))
def test_both_questions_have_one_answer(text: str) -> None:
    try:
        read_epoch_name(text)
    except NotAnEpochName:
        assert not is_epoch_name(text)
    else:
        assert is_epoch_name(text)


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001
def test_every_moment_has_a_name(at: datetime) -> None:
    text = f"{at:%Y%m%d-%H%M%S}".rjust(15, "0")
    assert read_epoch_name(text).at == at.replace(microsecond=0)


@pytest.mark.parametrize(
    ("name", "marker"),
    [
        ("COMPLETE", Marker.COMPLETE),
        ("CHECK", Marker.CHECK),
        ("complete", None),
        ("COMPLETE.txt", None),
        (" COMPLETE", None),
        ("COMPLETE.filepart", None),
        ("", None),
    ],
)
def test_a_marker_is_exactly_that(name: str, marker: Marker | None) -> None:
    assert marker_of(name) is marker
