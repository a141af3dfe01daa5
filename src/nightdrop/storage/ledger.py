# SPDX-License-Identifier: Apache-2.0
"""What the SFTP processes of one node know together: who is there, who must wait, who is known.

Everything is called on the event loop and takes microseconds. Looking things up takes no lock.
Changing takes a turn, see `ledger_file.Turn`. When none is to be had, because some process was
stopped in the middle of its own, what is there already is changed all the same, and what would
need a new slot is not kept. So a limit may then be passed by a few; nobody is kept out, and
nothing waits. The same holds for a key whose eight slots are all in use: not counting is better
than refusing. Killing a process at any point loses at most the one change it was making.

Deliberately absent: what is counted and how much is too much; that is in `sftp.guard`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from nightdrop.core.penalties import NEVER, Strikes
from nightdrop.storage.counters import Counters
from nightdrop.storage.ledger_file import (
    TEXT_BYTES,
    LedgerBusy,
    LedgerFile,
    Turn,
    open_file,
    open_or_make_file,
)
from nightdrop.storage.slots import Slots, tag_of

#: The year 5138. A later time was damaged, and is none.
_LAST_SECOND: Final = 1e11


class Ledger:
    """The ledger of a node. One thread of a process may use it."""

    def __init__(self, file: LedgerFile) -> None:
        turn = Turn(file.descriptor, turns=file.arrays.turns)
        self._file = file
        self.counters: Final = Counters(file, turn=turn)
        self.strikes: Final = StrikeBook(file, turn=turn)
        self.logins: Final = LoginBook(file, turn=turn)

    @classmethod
    def look(cls, path: Path) -> Self:
        """Open the ledger that is there, to look and to lift penalties.

        Raises:  LedgerMissing, LedgerForeign, OSError.
        """
        return cls(open_file(path))

    @classmethod
    def join(cls, path: Path) -> Self:
        """Open the ledger, made if need be, to count in it. Reads and makes files.

        Raises:  LedgerCrowded, LedgerBusy, OSError.
        """
        ledger = cls(open_or_make_file(path))
        try:
            ledger.counters.join()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def close(self) -> None:
        """Give up what is counted here, and the file. Once."""
        self.counters.leave()
        self._file.close()


@dataclass(frozen=True, slots=True)
class Record:
    """The strikes of `name` from `source`; an empty name stands for the source alone."""

    source: str
    name: str
    strikes: Strikes


class StrikeBook:
    """Failed logins by source and name."""

    def __init__(self, file: LedgerFile, *, turn: Turn) -> None:
        self._path = file.path
        self._salt = file.salt
        self._turn = turn
        self._arrays = file.arrays
        self._tags = file.arrays.strike_tags
        self._slots = Slots(self._tags)

    def find(self, source: str, name: str = "") -> Strikes:
        """Return the strikes of a name from a source, or of the source alone."""
        tag = self._tag(source, name)
        slot = self._slots.find(tag)
        if slot is None:
            return Strikes()
        strikes = self._read(slot)
        # Looked at again: the slot may have got another owner meanwhile.
        return strikes if self._tags[slot] == tag else Strikes()

    def change(
        self, source: str, name: str, make: Callable[[Strikes], Strikes]
    ) -> tuple[Strikes, Strikes]:
        """Replace strikes by what `make` makes of them; return both, or the former twice."""
        tag = self._tag(source, name)
        with self._turn as is_mine:
            slot = self._slots.find(tag)
            before = Strikes() if slot is None else self._read(slot)
            after = make(before)
            if slot is None:
                if after == before or not is_mine:
                    return before, before
                slot = self._make(source, name, tag)
            self._write(slot, after)
            # Last, so that whoever finds the tag finds all the rest.
            self._tags[slot] = tag if after.failures else 0
        return before, after

    def list_all(self) -> list[Record]:
        """Return all strikes. Takes milliseconds when there are many: not for the loop."""
        found = []
        for slot, tag in enumerate(self._tags.tolist()):
            if tag:
                source, name = self._read_texts(slot)
                # The tag of a slot that is just being filled is not that of its texts.
                if self._tag(source, name) == tag:
                    found.append(Record(source, name, self._read(slot)))
        return found

    def forget(self, source: str, name: str) -> bool:
        """Drop the strikes of a name from a source; say whether there were any.

        Raises:  LedgerBusy.
        """
        with self._turn as is_mine:
            if not is_mine:
                raise LedgerBusy(self._path)
            slot = self._slots.find(self._tag(source, name))
            if slot is None:
                return False
            self._tags[slot] = 0
        return True

    def forget_names(self, names: Iterable[str]) -> int:
        """Drop the strikes of these names, and of the sources alone that have tried them.

        Fit for the loop: it takes a millisecond, for one name and for a thousand.

        Returns: how many were dropped.
        """
        wanted = {tag_of(_kept(name), salt=self._salt) for name in names if name}
        sources: set[str] = set()
        dropped = 0
        for slot, name_tag in enumerate(self._arrays.name_tags.tolist()):
            if name_tag in wanted and self._tags[slot]:
                sources.add(self._read_texts(slot)[0])
                self._tags[slot] = 0
                dropped += 1
        for source in sources:
            slot_of_source = self._slots.find(self._tag(source, ""))
            if slot_of_source is not None:
                self._tags[slot_of_source] = 0
                dropped += 1
        return dropped

    def _tag(self, source: str, name: str) -> int:
        return tag_of(f"{_kept(source)}\0{_kept(name)}", salt=self._salt)

    def _make(self, source: str, name: str, tag: int) -> int:
        arrays = self._arrays
        slot = self._slots.clear_one(tag, staleness=self._staleness)
        if slot is None:
            raise RuntimeError("any strikes may be dropped")
        texts = _kept(source).encode().ljust(TEXT_BYTES, b"\0") + _kept(name).encode()
        first = slot * 2 * TEXT_BYTES
        arrays.texts[first : first + 2 * TEXT_BYTES] = texts.ljust(2 * TEXT_BYTES, b"\0")
        arrays.name_tags[slot] = tag_of(_kept(name), salt=self._salt)
        return slot

    def _staleness(self, slot: int) -> float:
        return -max(self._arrays.failed_at[slot], self._arrays.until[slot])

    def _read(self, slot: int) -> Strikes:
        arrays = self._arrays
        return Strikes(
            arrays.failures[slot],
            failed_at=_read_time(arrays.failed_at[slot]),
            until=_read_time(arrays.until[slot]),
        )

    def _write(self, slot: int, strikes: Strikes) -> None:
        self._arrays.failures[slot] = strikes.failures
        self._arrays.failed_at[slot] = strikes.failed_at.timestamp()
        self._arrays.until[slot] = strikes.until.timestamp()

    def _read_texts(self, slot: int) -> tuple[str, str]:
        first = slot * 2 * TEXT_BYTES
        both = bytes(self._arrays.texts[first : first + 2 * TEXT_BYTES])
        source, name = (
            part.rstrip(b"\0").decode("ascii", "replace")
            for part in (both[:TEXT_BYTES], both[TEXT_BYTES:])
        )
        return source, name


class LoginBook:
    """The sources from which somebody logged in, and when."""

    def __init__(self, file: LedgerFile, *, turn: Turn) -> None:
        self._salt = file.salt
        self._turn = turn
        self._tags = file.arrays.login_tags
        self._times = file.arrays.logged_in_at
        self._slots = Slots(self._tags)

    def find(self, source: str) -> datetime:
        """Return when somebody last logged in from there; NEVER if that is not known."""
        tag = tag_of(_kept(source), salt=self._salt)
        slot = self._slots.find(tag)
        if slot is None:
            return NEVER
        at = _read_time(self._times[slot])
        return at if self._tags[slot] == tag else NEVER

    def note(self, source: str, *, at: datetime) -> None:
        """Note that somebody logged in from there."""
        tag = tag_of(_kept(source), salt=self._salt)
        with self._turn as is_mine:
            slot = self._slots.find(tag)
            if slot is None and is_mine:
                slot = self._slots.clear_one(tag, staleness=lambda other: -self._times[other])
            if slot is not None:
                self._times[slot] = at.timestamp()
                self._tags[slot] = tag


def _kept(text: str) -> str:
    """Return as much of a stranger's text as is kept: plain characters, and not many."""
    text = text[:TEXT_BYTES]
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)


def _read_time(seconds: float) -> datetime:
    if not 0 < seconds < _LAST_SECOND:
        return NEVER
    return datetime.fromtimestamp(seconds, UTC)
