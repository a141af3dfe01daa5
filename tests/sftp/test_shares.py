# SPDX-License-Identifier: Apache-2.0
"""What one session may hold, and what all of them together come to."""

from nightdrop.sftp.packets import MAX_PACKET_BYTES
from nightdrop.sftp.shares import (
    MAX_DISTRICT_HANDLES,
    MAX_REFUSALS,
    DistrictShare,
    choose_share,
)

MIB = 1024 * 1024


def test_a_few_sessions_get_plenty() -> None:
    assert {
        choose_share(open_sessions=count, of_district=0).window_bytes for count in range(3)
    } == {8 * MIB}
    assert choose_share(open_sessions=31, of_district=0).window_bytes == 1.5 * MIB


def test_a_share_never_grows_with_the_number_of_sessions() -> None:
    windows = [
        choose_share(open_sessions=count, of_district=0).window_bytes for count in range(2000)
    ]
    assert windows == sorted(windows, reverse=True)
    assert windows[-1] == 128 * 1024


def test_the_sessions_of_one_district_share_out_what_one_may_have() -> None:
    shares = [choose_share(open_sessions=count, of_district=count) for count in range(10)]
    assert [share.window_bytes // MIB for share in shares] == [8, 4, 2, 2, 1, 1, 1, 1, 0, 0]


def test_the_longest_request_fits_into_every_share() -> None:
    share = choose_share(open_sessions=100_000, of_district=9)
    assert share.waiting_bytes > MAX_PACKET_BYTES
    assert share.reply_bytes >= MAX_PACKET_BYTES


def test_a_thousand_hostile_sessions_stay_below_a_gibibyte() -> None:
    shares = [choose_share(open_sessions=count, of_district=0) for count in range(1000)]
    held = sum(share.window_bytes + share.waiting_bytes + share.reply_bytes for share in shares)
    assert held < 1024 * MIB


def test_a_district_has_so_many_handles_and_not_one_more() -> None:
    share = DistrictShare()
    taken = [share.take_handle() for _ in range(MAX_DISTRICT_HANDLES + 1)]
    assert taken == [True] * MAX_DISTRICT_HANDLES + [False]
    share.give_handles(1)
    assert share.take_handle()


def test_a_district_has_so_many_refusals_told_in_a_minute() -> None:
    share = DistrictShare()
    told = [share.may_tell_refusal(now_seconds=100 + number / 100) for number in range(300)]
    assert told == [True] * MAX_REFUSALS + [False] * 100
    assert not share.may_tell_refusal(now_seconds=159.9)
    assert share.may_tell_refusal(now_seconds=160)
