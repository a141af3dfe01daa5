# SPDX-License-Identifier: Apache-2.0
"""Districts are made whole or not at all."""

from datetime import time
from typing import Any
from uuid import UUID, uuid4

import pytest

from fix_district import moment
from fix_night import race
from nightdrop.core.quota import Amount
from nightdrop.db.access import UnknownDistrict, all_districts, find_district
from nightdrop.db.models import District
from nightdrop.services.districts import (
    BadUsername,
    NightlyWithoutTime,
    Quota,
    UnknownTimeZone,
    UsernameTaken,
    add_district,
    set_quota,
    suspend_district,
)
from nightdrop.services.keys import read_snapshot
from nightdrop.storage.tree import Tree


def add(tree: Tree, username: str, **other: Any) -> District:  # noqa: ANN401 - any argument
    arguments: dict[str, Any] = {
        "district": uuid4(),
        "name": None,
        "time_zone": "UTC",
        "nightly_at": None,
        "is_nightly": False,
    }
    return add_district(username, tree=tree, **(arguments | other))


def test_a_district_has_a_row_and_directories(database: None, tree: Tree) -> None:
    made = add(tree, "applegrove.org", name="Apple Grove", time_zone="America/New_York")
    found = find_district("applegrove.org")
    assert (found.id, found.name, found.mode) == (made.id, "Apple Grove", "immediate")
    assert found.created_at is not None
    assert tree.district_ids() == [made.id]


def test_a_user_name_is_compared_in_lower_case(database: None, tree: Tree) -> None:
    made = add(tree, " AppleGrove.ORG ")
    assert (made.username, made.name) == ("applegrove.org", "applegrove.org")
    assert find_district("APPLEGROVE.org ").id == made.id
    with pytest.raises(UsernameTaken):
        add(tree, "applegrove.ORG")


@pytest.mark.parametrize(
    "username",
    [
        *("", ".", "-x", "x-", ".org", "apple grove", "apple/grove", "../x", "a\0b"),
        *("äpfel.org", "a" * 65, "x:y", "a@b.org"),
    ],
)
def test_a_bad_user_name_is_refused(database: None, tree: Tree, username: str) -> None:
    with pytest.raises(BadUsername) as refusal:
        add(tree, username)
    assert refusal.value.username == username
    assert all_districts() == []
    assert tree.district_ids() == []


@pytest.mark.parametrize("username", ["a", "7", "a" * 64, "a.b_c-d", "applegrove.org"])
def test_a_good_user_name_is_taken(database: None, tree: Tree, username: str) -> None:
    assert add(tree, username).username == username


def test_a_taken_name_is_refused_and_makes_nothing(database: None, tree: Tree) -> None:
    made = add(tree, "applegrove.org")
    with pytest.raises(UsernameTaken) as refusal:
        add(tree, "applegrove.org")
    assert refusal.value.username == "applegrove.org"
    assert [each.id for each in all_districts()] == [made.id]
    assert tree.district_ids() == [made.id]


def test_of_makers_at_once_one_gets_the_name(database: None, tree: Tree) -> None:
    def make() -> UUID | None:
        try:
            return add(tree, "applegrove.org").id
        except UsernameTaken:
            return None

    made = [each for each in race(*[make] * 4) if each is not None]
    assert [each.id for each in all_districts()] == made
    assert tree.district_ids() == made


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "america/new_york", "EST5", "../etc/passwd"])
def test_an_unknown_time_zone_is_refused(database: None, tree: Tree, zone: str) -> None:
    with pytest.raises(UnknownTimeZone) as refusal:
        add(tree, "applegrove.org", time_zone=zone)
    assert refusal.value.name == zone
    assert all_districts() == []


def test_a_night_needs_its_time(database: None, tree: Tree) -> None:
    with pytest.raises(NightlyWithoutTime):
        add(tree, "applegrove.org", is_nightly=True)
    made = add(tree, "applegrove.org", is_nightly=True, nightly_at=time(2, 30))
    assert (made.mode, made.nightly_at) == (District.Mode.NIGHTLY, time(2, 30))


def test_no_account_without_its_directories(database: None, tree: Tree) -> None:
    """A disk that fails leaves no account that lets in and then has nothing to show."""
    district = uuid4()
    (tree.shared.parent / str(district)).write_text("in the way")
    with pytest.raises(OSError, match="exists"):
        add(tree, "applegrove.org", district=district)
    assert all_districts() == []
    assert add(tree, "applegrove.org").username == "applegrove.org"


def test_a_district_is_suspended_and_let_in_again(apple: District) -> None:
    now = moment()
    assert suspend_district("AppleGrove.org", now=now).suspended_at == now
    assert find_district("applegrove.org").suspended_at == now
    assert read_snapshot(now=now).accounts["applegrove.org"].is_suspended
    suspend_district("applegrove.org", now=None)
    assert find_district("applegrove.org").suspended_at is None
    assert not read_snapshot(now=now).accounts["applegrove.org"].is_suspended


def test_a_quota_is_set_and_taken_back(apple: District, birch: District) -> None:
    set_quota("AppleGrove.org", {Quota.BYTES: 7 << 30, Quota.FILES: 12})
    set_quota("applegrove.org", {Quota.FILES: None})
    found = find_district("applegrove.org")
    assert (found.quota_bytes, found.quota_files) == (7 << 30, None)
    accounts = read_snapshot(now=moment()).accounts
    assert accounts["applegrove.org"].find_quota(default=Amount(1, 2)) == Amount(7 << 30, 2)
    assert accounts["birchhill.org"].find_quota(default=Amount(1, 2)) == Amount(1, 2)
    with pytest.raises(UnknownDistrict):
        set_quota("cidermills.org", {Quota.BYTES: 1})


def test_nobody_of_that_name_is_suspended(apple: District) -> None:
    with pytest.raises(UnknownDistrict) as refusal:
        suspend_district("cidermills.org", now=moment())
    assert refusal.value.username == "cidermills.org"
