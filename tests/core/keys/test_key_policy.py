# SPDX-License-Identifier: Apache-2.0
import dataclasses
import inspect

import pytest

from core.keys.key_lines import make_key_line, make_rsa_blob, vector
from nightdrop.core.keys import (
    KeyRefused,
    OptionsIgnored,
    PublicKey,
    RsaIsShort,
    check_policy,
    errors,
    read_public_key,
)
from nightdrop.core.keys.errors import RsaTooLong, RsaTooShort


def rsa_of(bits: int) -> PublicKey:
    return read_public_key(make_key_line(named="ssh-rsa", blob=make_rsa_blob(bits=bits)))


@pytest.mark.parametrize("bits", [2048, 3071])
def test_a_short_rsa_key_is_accepted_with_a_warning(bits: int) -> None:
    assert check_policy(rsa_of(bits)) == (RsaIsShort(bits=bits, recommended_bits=3072),)


@pytest.mark.parametrize("bits", [3072, 16384])
def test_a_long_rsa_key_is_accepted(bits: int) -> None:
    assert check_policy(rsa_of(bits)) == ()


def test_rsa_below_2048_is_refused() -> None:
    with pytest.raises(RsaTooShort) as caught:
        check_policy(rsa_of(2047))
    assert (caught.value.bits, caught.value.minimum_bits) == (2047, 2048)
    with pytest.raises(RsaTooShort):
        check_policy(read_public_key(vector("rsa1024.pub")))


def test_rsa_beyond_what_libraries_verify_is_refused() -> None:
    with pytest.raises(RsaTooLong) as caught:
        check_policy(rsa_of(16385))
    assert (caught.value.bits, caught.value.maximum_bits) == (16385, 16384)


def test_ignored_options_are_a_warning() -> None:
    key = read_public_key(make_key_line(options='no-pty,from="192.0.2.7",restrict'))
    assert check_policy(key) == (OptionsIgnored(names=("no-pty", "restrict")),)


def test_every_class_of_fault_has_a_code_of_its_own() -> None:
    classes = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, KeyRefused)
    ]
    assert len({value.code for value in classes}) == len(classes)


def test_a_refusal_tells_a_log_its_code_and_place_only() -> None:
    refused = errors.OptionUnknown(offset=7, name="form")
    assert str(refused) == "option-unknown at byte 7"
    assert not refused.retry


def test_a_key_is_a_value() -> None:
    key = read_public_key(make_key_line())
    assert key == read_public_key(make_key_line())
    assert hash(key) == hash(dataclasses.replace(key))
