# SPDX-License-Identifier: Apache-2.0
"""How many there are of something, over all processes of a node that count in one ledger.

Each process adds and subtracts in a column of its own; a count is the sum over the columns. A
column is a process's own as long as that holds a lock on ``<ledger>-<column>.lock``, and no
longer: a process that dies leaves its numbers behind, and its lock is gone. Before anything is
refused for a count, the columns in it that nobody holds any more are cleared. So the dead take
nobody's place, and nobody has to notice that they died.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from nightdrop.core.errors import Refusal
from nightdrop.storage.ledger_file import COLUMNS, COUNTERS, LedgerFile, Turn, try_lock
from nightdrop.storage.slots import Slots, tag_of

#: Counters that always have a slot: whatever else cannot be counted, these can.
ALL_LOGINS: Final = "logins"
STRANGERS: Final = "logins of strangers"

_RESERVED: Final = {ALL_LOGINS: 0, STRANGERS: 1}
_ZEROS: Final = memoryview(bytes(2 * COUNTERS)).cast("H")
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class LimitReached(Refusal):
    """There are as many of `what` as there may be, which is `most`."""

    code: ClassVar[str] = "limit-reached"
    retry: ClassVar[bool] = True

    def __init__(self, what: str, *, most: int) -> None:
        super().__init__(what, most)
        self.what = what
        self.most = most


class LedgerCrowded(Refusal):
    """As many processes as can count do so already; `limit` is that number."""

    code: ClassVar[str] = "ledger-crowded"
    retry: ClassVar[bool] = True

    def __init__(self, *, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` of `what` at one time."""

    what: str
    most: int


class Counters:
    """The counters of a ledger, as one process has them."""

    def __init__(self, file: LedgerFile, *, turn: Turn) -> None:
        self._path = file.path
        self._salt = file.salt
        self._turn = turn
        self._tags = file.arrays.counter_tags
        self._counts = file.arrays.counts
        self._slots = Slots(self._tags, reserved=1)
        self._column: int | None = None
        self._lock: int | None = None
        #: What was let in without being counted, because there was no slot for it.
        self.uncounted = 0

    def join(self) -> None:
        """Take a column to count in, and clear those that nobody has.

        Raises:  LedgerCrowded, OSError.
        """
        for column in range(COLUMNS):
            lock = os.open(self._lock_file(column), _LOCK_FLAGS, 0o600)
            if try_lock(lock):
                self._column, self._lock = column, lock
                self._clear(column)
                self._clear_dead(self._columns_in_use())
                return
            os.close(lock)
        raise LedgerCrowded(limit=COLUMNS)

    def leave(self) -> None:
        """Give the column up, and what is counted in it."""
        if self._column is not None and self._lock is not None:
            self._clear(self._column)
            os.close(self._lock)
        self._column = self._lock = None

    def take(self, *limits: Limit) -> tuple[int, ...]:
        """Count one more of everything in `limits`, or of nothing if one of them is reached.

        Returns: what to `give_back`.
        Raises:  LimitReached.
        """
        if self._column is None:
            raise RuntimeError("only a process that has joined may count")
        taken: list[int] = []
        with self._turn as is_mine:
            for limit in limits:
                self._check(limit)
            for limit in limits:
                slot = self._slot_of(limit.what, may_make=is_mine)
                if slot is None:
                    self.uncounted += 1
                    continue
                self._counts[slot * COLUMNS + self._column] += 1
                taken.append(slot)
        return tuple(taken)

    def give_back(self, taken: tuple[int, ...]) -> None:
        """Count one less of what was taken.

        Needs no turn: nobody else writes in our column, and a slot in use keeps its owner.
        """
        if self._column is None:
            return
        for slot in taken:
            at = slot * COLUMNS + self._column
            self._counts[at] = max(self._counts[at] - 1, 0)

    def count(self, what: str) -> int:
        """Return how many there are. Those of processes that died may be among them."""
        slot = self._slot_of(what, may_make=False)
        return 0 if slot is None else sum(self._row(slot))

    def _check(self, limit: Limit) -> None:
        slot = self._slot_of(limit.what, may_make=False)
        if slot is None or sum(self._row(slot)) < limit.most:
            return
        self._clear_dead(self._columns_in(slot))
        if sum(self._row(slot)) >= limit.most:
            raise LimitReached(limit.what, most=limit.most)

    def _slot_of(self, what: str, *, may_make: bool) -> int | None:
        reserved = _RESERVED.get(what)
        if reserved is not None:
            return reserved
        tag = tag_of(what, salt=self._salt)
        slot = self._slots.find(tag)
        return self._make(tag) if slot is None and may_make else slot

    def _make(self, tag: int) -> int | None:
        """Return a slot for something new; None when all that it may have are in use."""
        slot = self._slots.clear_one(tag, staleness=self._staleness)
        if slot is None:
            self._clear_dead(set().union(*map(self._columns_in, self._slots.bucket(tag))))
            slot = self._slots.clear_one(tag, staleness=self._staleness)
        if slot is not None:
            self._tags[slot] = tag
        return slot

    def _staleness(self, slot: int) -> float | None:
        return None if any(self._row(slot)) else 0.0

    def _columns_in_use(self) -> list[int]:
        return [column for column in range(COLUMNS) if any(self._counts[column::COLUMNS])]

    def _columns_in(self, slot: int) -> set[int]:
        return {column for column, number in enumerate(self._row(slot)) if number}

    def _row(self, slot: int) -> "memoryview[int]":
        return self._counts[slot * COLUMNS : (slot + 1) * COLUMNS]

    def _clear_dead(self, columns: Iterable[int]) -> None:
        """Clear those of `columns` that nobody holds. The lock, not the turn, gives the right."""
        for column in columns:
            if column == self._column:
                continue
            # Made if it is missing: without the lock in hand, somebody might just be joining.
            lock = os.open(self._lock_file(column), _LOCK_FLAGS, 0o600)
            try:
                if try_lock(lock):
                    self._clear(column)
            finally:
                os.close(lock)

    def _clear(self, column: int) -> None:
        self._counts[column::COLUMNS] = _ZEROS

    def _lock_file(self, column: int) -> Path:
        return self._path.with_name(f"{self._path.name}-{column}.lock")
