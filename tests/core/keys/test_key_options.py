# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from core.keys.key_lines import make_key_line
from nightdrop.core.keys import KeyOptions, KeyRefused, read_public_key
from nightdrop.core.keys.errors import (
    CertificateRefused,
    ExpiryUnreadable,
    NetworkUnreadable,
    OptionRepeated,
    OptionUnknown,
    OptionUnreadable,
    TextBeforeKey,
)


def options_of(text: str) -> KeyOptions:
    key = read_public_key(make_key_line(options=text))
    assert key.comment == "night@applegrove.org"
    return key.options


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ('from="192.0.2.7"', ("192.0.2.7/32",)),
        ('from="192.0.2.0/24,2001:db8::/32"', ("192.0.2.0/24", "2001:db8::/32")),
        ('FROM="2001:DB8::1"', ("2001:db8::1/128",)),
        ('from="192.0.2.7, 192.0.2.7/32"', ("192.0.2.7/32",)),
        ("from=“192.0.2.0/24”", ("192.0.2.0/24",)),
        ('from="192.0.2.0/24,\n  198.51.100.0/24"', ("192.0.2.0/24", "198.51.100.0/24")),
        ('no-pty,from="192.0.2.7",command="a, \\"b\\" c"', ("192.0.2.7/32",)),
    ],
)
def test_from_becomes_networks(text: str, networks: tuple[str, ...]) -> None:
    assert options_of(text).networks == networks


@pytest.mark.parametrize(
    ("text", "offset", "position"),
    [
        ('from="*.example.org"', 6, 1),
        ('from="192.0.2.0/24,!192.0.2.7"', 19, 2),
        ('from="192.0.2.1/24"', 6, 1),
        ('from="192.0.2.0/33"', 6, 1),
        ('from="192.0.2.0/24,"', 19, 2),
        ('from=""', 6, 1),
        ('from="fe80::1%eth0"', 6, 1),
    ],
)
def test_a_pattern_that_cannot_be_kept_is_refused(text: str, offset: int, position: int) -> None:
    with pytest.raises(NetworkUnreadable) as caught:
        options_of(text)
    assert (caught.value.offset, caught.value.position) == (offset, position)


@pytest.mark.parametrize(
    ("text", "expiry"),
    [
        ("20270630Z", datetime(2027, 6, 30, tzinfo=UTC)),
        ("202706302359z", datetime(2027, 6, 30, 23, 59, tzinfo=UTC)),
        ("20270630235958UTC", datetime(2027, 6, 30, 23, 59, 58, tzinfo=UTC)),
        ("202706302359", datetime(2027, 6, 30, 23, 59, tzinfo=UTC)),
    ],
)
def test_expiry_time_becomes_a_time(text: str, expiry: datetime) -> None:
    assert options_of(f'expiry-time="{text}"').expires_at == expiry


def test_an_expiry_without_z_is_in_the_zone_given() -> None:
    line = make_key_line(options='expiry-time="20270630"')
    key = read_public_key(line, zone=ZoneInfo("America/Chicago"))
    expected = datetime(2027, 6, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert key.options.expires_at == expected


def test_the_earliest_of_several_expiries_counts() -> None:
    expiry = options_of('expiry-time="20270630Z",expiry-time="20260630Z"').expires_at
    assert expiry == datetime(2026, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2027",
        "20271301Z",
        "20270230Z",
        "2027063025Z",
        "20270630 noon",
        "\N{FULLWIDTH DIGIT TWO}0270630",
    ],
)
def test_an_expiry_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ExpiryUnreadable) as caught:
        options_of(f'expiry-time="{text}"')
    assert caught.value.offset == len('expiry-time="')


def test_other_options_are_listed_as_ignored() -> None:
    text = 'restrict,command="sftp \\"x\\" ssh-rsa AAAAB3",No-PTY,from="192.0.2.7",no-pty'
    assert options_of(text) == KeyOptions(
        networks=("192.0.2.7/32",), ignored=("restrict", "command", "no-pty")
    )


@pytest.mark.parametrize(
    ("text", "refusal", "offset"),
    [
        ('form="192.0.2.7"', OptionUnknown, 0),
        ("no-pty,no-shell", OptionUnknown, 7),
        ("from=192.0.2.7", OptionUnreadable, 5),
        ('from="192.0.2.7', OptionUnreadable, 5),
        ('from="192.0.2.7"x', OptionUnreadable, 5),
        ('from="192.0.2.7\\"', OptionUnreadable, 5),
        ("from", OptionUnreadable, 4),
        ('no-pty="x"', OptionUnreadable, 6),
        ('from="192.0.2.7",from="192.0.2.8"', OptionRepeated, 17),
        ("cert-authority", CertificateRefused, 0),
        ("no-pty,", TextBeforeKey, 7),
        ("no-pty, from", TextBeforeKey, 7),
        ("hello", TextBeforeKey, 0),
    ],
)
def test_options_that_openssh_would_not_take_are_refused(
    text: str, refusal: type[KeyRefused], offset: int
) -> None:
    with pytest.raises(refusal) as caught:
        options_of(text)
    assert caught.value.offset == offset


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(OptionUnknown) as caught:
        options_of('Form="192.0.2.7"')
    assert caught.value.name == "form"
