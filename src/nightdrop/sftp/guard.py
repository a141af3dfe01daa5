# SPDX-License-Identifier: Apache-2.0
"""How many may come, from where, and who must wait first.

Failed logins count for the pair of source and user name, so that a wait hits nobody else. For
the source alone they count only when no account has the name: whoever guesses names is turned
away at the door. A bureau sends for forty districts from one address, so a known source has ten
times the room, and each name counts for it once: one misspelt name in one script, tried all night,
must not lock the other districts out.

Synchronous, for the loop; what it knows is in the ledger, where the node's other processes find it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar, Final
from uuid import UUID

from nightdrop.config import Config
from nightdrop.core.errors import Refusal
from nightdrop.core.penalties import KNOWN_TIMES, Strikes, add_failure, is_known, source_of
from nightdrop.storage.counters import ALL_LOGINS, STRANGERS, Limit, LimitReached
from nightdrop.storage.ledger import Ledger

#: A login is noted again only after so long: what is known for a week need not be exact.
_NOTED_EVERY: Final = timedelta(hours=1)
#: The rest of the room is kept for those who were here before.
_STRANGERS_SHARE: Final = (3, 4)
#: In the place of a name that is empty: an empty one stands for the source alone.
_NAMELESS: Final = "?"


class NodeCrowded(Refusal):
    """As many connections wait to log in as this node takes."""

    code: ClassVar[str] = "node-crowded"
    retry: ClassVar[bool] = True


class SourceCrowded(Refusal):
    """As many connections of `source` wait to log in as may."""

    code: ClassVar[str] = "source-crowded"
    retry: ClassVar[bool] = True

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source


class SourcePenalised(Refusal):
    """Too many logins from `source` failed; nobody may try from there before `until`."""

    code: ClassVar[str] = "source-penalised"
    retry: ClassVar[bool] = True

    def __init__(self, source: str, *, until: datetime) -> None:
        super().__init__(source, until)
        self.source = source
        self.until = until


class TooManySessions(Refusal):
    """The district has as many sessions open on this node as it may; `limit` is that number."""

    code: ClassVar[str] = "too-many-sessions"
    retry: ClassVar[bool] = True

    def __init__(self, *, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


@dataclass(slots=True, eq=False)
class Ticket:
    """One connection that was let in: from where, and its place among those that wait."""

    address: str
    source: str
    #: The client's own port, if that is known.
    port: int | None
    #: What it takes of the counters; nothing any more when it has logged in or left.
    taken: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Penalty:
    """A wait that has begun, for `name` from `source`, or for all of `source` if there is none."""

    source: str
    name: str | None
    failures: int
    until: datetime


class Guard:
    """The guard of one process."""

    def __init__(self, ledger: Ledger, *, config: Config) -> None:
        self._ledger = ledger
        self._config = config
        self._stays: dict[UUID, list[tuple[int, ...]]] = {}

    # Connections that have not logged in.

    def arrive(self, address: str, *, now: datetime, port: int | None = None) -> Ticket:
        """Let a connection in.

        Raises:  NodeCrowded, SourceCrowded, SourcePenalised.
        """
        config, counters = self._config, self._ledger.counters
        source = source_of(address)
        until = self.penalty_until(source, "", now=now)
        if until is not None:
            raise SourcePenalised(source, until=until)
        of_source = f"logins from {source}"
        most, most_of_source = config.login_slots, config.login_slots_per_source
        limits = [Limit(ALL_LOGINS, most)]
        if self._is_known(source, now=now):
            limits.append(Limit(of_source, most_of_source * KNOWN_TIMES))
        else:
            part, whole = _STRANGERS_SHARE
            limits.append(Limit(of_source, most_of_source))
            limits.append(Limit(STRANGERS, max(most * part // whole, 1)))
        try:
            taken = counters.take(*limits)
        except LimitReached as reached:
            if reached.what == of_source:
                raise SourceCrowded(source) from None
            raise NodeCrowded from None
        return Ticket(address, source, port, taken)

    def left(self, ticket: Ticket) -> None:
        """Note that a connection is gone, or waits no longer. May be called again."""
        taken, ticket.taken = ticket.taken, ()
        self._ledger.counters.give_back(taken)

    def logged_in(self, ticket: Ticket, username: str, *, now: datetime) -> None:
        """Note that a connection has logged in: its source is known, earlier failures forgotten."""
        self.left(ticket)
        ledger, source, name = self._ledger, ticket.source, _name_of(username)
        if now - ledger.logins.find(source) > _NOTED_EVERY:
            ledger.logins.note(source, at=now)
        if ledger.strikes.find(source, name).failures:
            ledger.strikes.change(source, name, lambda _: Strikes())

    # Failed logins.

    def penalty_until(self, source: str, username: str, *, now: datetime) -> datetime | None:
        """Return until when a name from a source must wait; None when it need not.

        An empty name asks for the source alone.
        """
        if not self._config.penalties:
            return None
        strikes = self._ledger.strikes.find(source, username and _name_of(username))
        return strikes.until if strikes.is_waiting(now=now) else None

    def failed(
        self, source: str, username: str, *, has_account: bool, now: datetime
    ) -> list[Penalty]:
        """Count a connection that tried a name and never logged in; return the waits this began."""
        if not self._config.penalties:
            return []
        name, known = _name_of(username), self._is_known(source, now=now)
        is_new = self._ledger.strikes.find(source, name).is_forgotten(now=now)
        begun = [self._strike(source, name, is_known=known, now=now)]
        if not has_account and (is_new or not known):
            begun.append(self._strike(source, "", is_known=known, now=now))
        return [penalty for penalty in begun if penalty is not None]

    def forget_names(self, usernames: Iterable[str]) -> None:
        """Lift what names must wait: their accounts have changed, and should work at once.

        Whoever tried such a name may have been turned away as a whole: that is lifted, too.
        """
        self._ledger.strikes.forget_names([_name_of(username) for username in usernames])

    # Sessions.

    def enter_session(self, district: UUID) -> None:
        """Count a session in.

        Raises:  TooManySessions.
        """
        limit = self._config.sessions_per_district
        try:
            taken = self._ledger.counters.take(Limit(f"sessions of {district}", limit))
        except LimitReached:
            raise TooManySessions(limit=limit) from None
        self._stays.setdefault(district, []).append(taken)

    def leave_session(self, district: UUID) -> None:
        """Count a session out."""
        stays = self._stays[district]
        self._ledger.counters.give_back(stays.pop())
        if not stays:
            del self._stays[district]

    def _strike(self, source: str, name: str, *, is_known: bool, now: datetime) -> Penalty | None:
        config = self._config
        more = partial(
            add_failure,
            now=now,
            room=config.penalty_room * (KNOWN_TIMES if is_known else 1),
            most_seconds=config.penalty_most_seconds,
        )
        before, after = self._ledger.strikes.change(source, name, more)
        if after == before or not after.is_waiting(now=now):
            return None
        return Penalty(source, name or None, after.failures, after.until)

    def _is_known(self, source: str, *, now: datetime) -> bool:
        return is_known(self._ledger.logins.find(source), now=now)


def _name_of(username: str) -> str:
    return username.lower() or _NAMELESS
