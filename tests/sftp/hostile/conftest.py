# SPDX-License-Identifier: Apache-2.0
"""A server to attack, and the question whether anybody else noticed."""

import sys
from collections.abc import Callable, Iterator

import pytest

from nightdrop.config import Config
from sftp.harness import ClientKey
from sftp.hostile.siege import (
    HOSTILE,
    MEBIBYTE,
    VICTIM,
    Attack,
    Outcome,
    Siege,
    begin_siege,
)

#: See `withstand`.
ATTEMPTS = 3

MakeSiege = Callable[..., Siege]
Withstand = Callable[..., Outcome]


@pytest.fixture
def make_siege(
    make_config: Callable[..., Config], apple_key: ClientKey, birch_key: ClientKey
) -> Iterator[MakeSiege]:
    """Start servers that end with the test; `others` are further accounts of the attacker."""
    begun: list[Siege] = []

    def make(*others: str, **settings: object) -> Siege:
        keys = {HOSTILE: apple_key, VICTIM: birch_key} | dict.fromkeys(others, apple_key)
        siege = begin_siege(make_config(**settings), keys, settings=settings)
        begun.append(siege)
        return siege

    yield make
    for siege in begun:
        siege.stop()


@pytest.fixture
def siege(make_siege: MakeSiege) -> Siege:
    """Start a server with the settings that it has by itself."""
    return make_siege()


@pytest.fixture
def withstand(record_property: Callable[[str, object], None]) -> Withstand:
    """Return what attacks a siege, and fails if others or the server's memory suffer.

    A machine that is busy with other things makes listings slow now and then, an attack that
    works makes them slow each time: so the best of a few attempts counts, and the most memory.
    """

    def check(siege: Siege, attack: Attack, *, seconds: float, growth_mib: int) -> Outcome:
        for _ in range(ATTEMPTS):
            outcome = siege.endure(attack, seconds=seconds)
            record_property("outcome", outcome.describe())
            sys.stdout.write(f"{outcome.describe()}\n")
            assert outcome.growth_bytes <= growth_mib * MEBIBYTE, outcome.describe()
            if outcome.is_bearable:
                return outcome
        pytest.fail(f"others wait: {outcome.describe()}")

    return check
