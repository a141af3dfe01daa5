# SPDX-License-Identifier: Apache-2.0
"""What a client is told: every refusal has a sentence, and every sentence can be made."""

import inspect
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from nightdrop.core import paths
from nightdrop.core.errors import Refusal
from nightdrop.core.paths import ServedPath, Zone
from nightdrop.core.quota import Amount
from nightdrop.sftp import handles
from nightdrop.sftp.errors import SENTENCES, describe
from nightdrop.sftp.packets import PacketMalformed, Status
from nightdrop.storage import errors as storage

PATH = ServedPath(("upload", "20261123-021407", "Ümläut {0}.csv"))
FACTS: dict[str, Any] = {
    "raw": b"/upload/x", "path": PATH, "zone": Zone.DOWNLOAD, "offset": 3, "character": "\n",
    "size_bytes": 300, "name": "etc", "limit": 8, "epoch": "20261123-021407",
    "sealed_at": datetime(2026, 11, 23, 2, 14, 7, tzinfo=UTC), "district": UUID(int=1),
    "quota": Amount(50 << 30, 200_000), "used": Amount(53_579_284_480, 200_000),
}  # fmt: skip
#: Never raised by what a session may ask for, or bases of those that are.
ELSEWHERE = {
    paths.PathRefused, storage.PlaceRefused, storage.QuotaRefused, storage.NotSealed,
}  # fmt: skip


def refusals_of(module: object) -> list[type[Refusal]]:
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Refusal) and kind is not Refusal and kind not in ELSEWHERE
    ]


def make(kind: type[Refusal]) -> Refusal:
    """Make a refusal with the facts that it wants; most have a constructor of their own."""
    names = inspect.signature(kind.__init__).parameters
    return kind(**{name: FACTS[name] for name in names if name in FACTS})


@pytest.mark.parametrize(
    "kind",
    sorted(
        {*refusals_of(paths), *refusals_of(storage), *refusals_of(handles), PacketMalformed},
        key=str,
    ),
)
def test_every_refusal_has_a_sentence_of_its_own(kind: type[Refusal]) -> None:
    assert kind in SENTENCES
    status, sentence = describe(make(kind))
    assert status not in {Status.OK, Status.EOF}
    assert sentence.endswith(".")
    assert "{r" not in sentence
    assert "\n" not in sentence


def test_a_sealed_epoch_says_when_and_what_to_do() -> None:
    _, sentence = describe(make(storage.EpochSealed))
    assert "20261123-021407 was sealed at 02:14:07 UTC" in sentence
    assert "Upload into a new epoch" in sentence


def test_a_quota_says_how_much_of_what_is_used() -> None:
    _, sentence = describe(make(storage.QuotaBytesRefused))
    assert "quota of 50 GiB has no room" in sentence
    assert "takes 49.9 GiB of it. Remove" in sentence
    _, sentence = describe(make(storage.QuotaFilesRefused))
    assert "quota of 200,000 files and directories" in sentence


def test_a_refusal_without_a_sentence_gives_its_code() -> None:
    class Strange(Refusal):
        code = "strange"

    assert describe(Strange()) == (Status.FAILURE, "The server refuses that (strange).")
