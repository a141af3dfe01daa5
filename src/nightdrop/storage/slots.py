# SPDX-License-Identifier: Apache-2.0
"""Finding the slot of a key in arrays of fixed size that several processes share.

A key leads to a bucket of eight slots; the slot whose tag is that of the key is the key's. When
all eight are taken, the one that was used longest ago has to go.
"""

import hashlib
from collections.abc import Callable
from typing import Final

from nightdrop.storage.ledger_file import BUCKET

_TAG_BYTES: Final = 8


def tag_of(key: str, *, salt: bytes) -> int:
    """Return the tag of a key: 64 bits, never 0."""
    digest = hashlib.blake2b(key.encode(), digest_size=_TAG_BYTES, key=salt).digest()
    return int.from_bytes(digest, "big") or 1


class Slots:
    """Slots by tag. `reserved` buckets at the beginning are left alone."""

    def __init__(self, tags: "memoryview[int]", *, reserved: int = 0) -> None:
        self._tags = tags
        self._reserved = reserved
        self._buckets = len(tags) // BUCKET - reserved

    def find(self, tag: int) -> int | None:
        """Return the slot that has this tag."""
        bucket = self.bucket(tag)
        tags = self._tags[bucket.start : bucket.stop].tolist()
        return bucket.start + tags.index(tag) if tag in tags else None

    def clear_one(self, tag: int, *, staleness: Callable[[int], float | None]) -> int | None:
        """Return a free slot for a new tag, if need be the stalest one, cleared.

        `staleness` says of a slot how stale it is, more being staler, or None if it must stay.
        The caller fills the slot first, and sets its tag last.
        """
        chosen: int | None = None
        most = float("-inf")
        for slot in self.bucket(tag):
            if not self._tags[slot]:
                return slot
            found = staleness(slot)
            if found is not None and found > most:
                chosen, most = slot, found
        if chosen is not None:
            self._tags[chosen] = 0
        return chosen

    def bucket(self, tag: int) -> range:
        """Return the slots that a tag may have."""
        first = (self._reserved + tag % self._buckets) * BUCKET
        return range(first, first + BUCKET)
