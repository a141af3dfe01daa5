# SPDX-License-Identifier: Apache-2.0
"""What counts against a quota, and how it is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.core.quota import Amount, Usage, choose_quota, write_size

amounts = st.builds(Amount, st.integers(0, 1 << 50), st.integers(0, 1 << 20))


def test_sealed_epochs_count_half_at_most() -> None:
    quota = Amount(100, 10)
    assert Usage(Amount(30, 1), Amount(20, 2)).count_against(quota) == Amount(50, 3)
    assert Usage(Amount(30, 1), Amount(90, 9)).count_against(quota) == Amount(80, 6)
    assert Usage(Amount(30, 1), Amount(90, 9)).find_left(quota) == Amount(20, 4)


@given(quota=amounts, sealed=amounts)
def test_sealed_epochs_alone_leave_half(quota: Amount, sealed: Amount) -> None:
    left = Usage(sealed=sealed).find_left(quota)
    assert left.size_bytes >= quota.size_bytes // 2
    assert left.files >= quota.files // 2


@given(before=st.builds(Usage, amounts, amounts), epoch=amounts)
def test_what_is_added_sealed_and_moved_away_is_gone(before: Usage, epoch: Amount) -> None:
    assert before.adding(epoch).sealing(epoch).moving_away(epoch) == before
    assert before.adding(epoch).freeing(epoch) == before


@given(usage=st.builds(Usage, amounts, amounts), amount=amounts)
def test_a_count_that_was_too_low_never_gets_below_nothing(usage: Usage, amount: Amount) -> None:
    for after in (usage.freeing(amount), usage.sealing(amount), usage.moving_away(amount)):
        assert min(after.open.size_bytes, after.open.files) >= 0
        assert min(after.sealed.size_bytes, after.sealed.files) >= 0


def test_what_was_set_for_a_district_wins() -> None:
    default = Amount(50, 10)
    assert choose_quota(None, None, default=default) == default
    assert choose_quota(7, None, default=default) == Amount(7, 10)
    assert choose_quota(None, 0, default=default) == Amount(50, 0)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (50 << 30, "50 GiB"),
        (53_579_284_480, "49.9 GiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes_are_written_for_people(size_bytes: int, text: str) -> None:
    assert write_size(size_bytes) == text
