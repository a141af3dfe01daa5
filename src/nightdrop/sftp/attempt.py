# SPDX-License-Identifier: Apache-2.0
"""What one connection tried, told to the journal: who came with what, and why it failed.

- A key that is refused is told at once: its client may stay for half a minute.
- A client that is gone before it said a name is told of if it spoke SSH at all. What only
  looked whether the port is open is not: that is half of the internet, all day long.
- A reason is told once for each name and key, so that a connection has few events, however
  long it goes on trying; and so many times a minute for each source and account, so that a
  client in a loop does not fill the journal.

Everything here runs on the event loop.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import asyncssh
import structlog
from asyncssh.packet import PacketDecodeError, SSHPacket

from nightdrop.core.accounts import Accepted, Account, LoginFault
from nightdrop.core.events import JSON, Ending, Event, EventKind
from nightdrop.core.keys.fingerprint import sha256_fingerprint
from nightdrop.core.penalties import source_of
from nightdrop.sftp.connection import Connection
from nightdrop.sftp.guard import Penalty

log = structlog.get_logger()

#: Refusals that are told of one source and one account in a minute. All names that nobody has
#: are one account in this.
MAX_TOLD_A_MINUTE: Final = 60
#: A stranger may type anything as a name, a version or an algorithm; kept are the first so many
#: letters of it, and of a whole list of algorithms.
_KEPT_LETTERS: Final = 64
_KEPT_LIST_LETTERS: Final = 300
#: Failures that are not the client's, or not failures of a whole try.
_NOT_COUNTED: Final = frozenset(
    {
        LoginFault.PENALISED,
        LoginFault.SNAPSHOT_TOO_OLD,
        LoginFault.TOO_MANY_SESSIONS,
        LoginFault.GAVE_UP,
    }
)


class Tally:
    """How many refusals were told of each source and account in this minute, by one process."""

    def __init__(self) -> None:
        self._minute: datetime | None = None
        self._counts: Counter[tuple[str, str]] = Counter()

    def may_tell(self, address: str, account: Account | None, *, now: datetime) -> bool:
        """Count a refusal, and say whether it is still to be told."""
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute = minute
            left_out = sum(max(count - MAX_TOLD_A_MINUTE, 0) for count in self._counts.values())
            if left_out:
                log.warning("refusals-left-out", number=left_out)
            self._counts.clear()
        key = (source_of(address), account.username if account else "")
        self._counts[key] += 1
        return self._counts[key] <= MAX_TOLD_A_MINUTE


class Attempt:
    """One connection's tries to log in, from the first byte to the last."""

    def __init__(self, *, record: Callable[[Event], None], tally: Tally) -> None:
        #: Names the connection, and its first session.
        self.id: Final = uuid4()
        self.address = ""
        #: For whom the client wants to log in.
        self.username = ""
        self._connection: Connection | None = None
        self._record = record
        self._tally = tally
        self._accepted: Accepted | None = None
        self._unproved: tuple[str, Accepted] | None = None
        self._told: set[tuple[str, bytes, LoginFault]] = set()
        self._farewell: str | None = None

    def begin(self, connection: Connection, *, address: str) -> None:
        """Note who came from where."""
        self._connection = connection
        self.address = address

    def like(self, username: str, accepted: Accepted) -> None:
        """Note that a key which was offered would do; the client has still to sign with it."""
        self._unproved = (username, accepted)

    def refuse(
        self, username: str, reason: LoginFault, *, account: Account | None, blob: bytes = b""
    ) -> None:
        """Tell why a login for this name failed, with the key `blob` if it came to one."""
        self._unproved = None
        if (username, blob, reason) in self._told:
            return
        self._told.add((username, blob, reason))
        key: dict[str, JSON] = {"fingerprint": None, "key_type": None}
        if blob:
            key = {"fingerprint": sha256_fingerprint(blob), "key_type": _key_type(blob)}
        self._tell(
            EventKind.LOGIN_REFUSED,
            account,
            username=_short(username.lower()),
            reason=reason.value,
            **key,
            **self._describe_client(),
        )

    def accept(self, accepted: Accepted) -> None:
        """Tell that a key opened an account."""
        self._accepted = accepted
        self._tell(
            EventKind.LOGIN_ACCEPTED,
            accepted.account,
            **self._describe_login(accepted),
            key_type=_key_type(accepted.key.blob),
            **self._describe_client(),
        )

    def failed_names(self) -> set[str]:
        """Return the names for which logins failed, to be counted when nothing came of it all."""
        return {name.lower() for name, _, why in self._told if why not in _NOT_COUNTED}

    def penalise(self, penalty: Penalty, *, account: Account | None) -> None:
        """Tell that a wait has begun."""
        self._tell(
            EventKind.PENALISED,
            account,
            source=penalty.source,
            username=_short(penalty.name),
            failures=penalty.failures,
            until=penalty.until.isoformat(),
        )

    def learn(self, blobs: Sequence[bytes]) -> None:
        """Tell that the client now knows these host keys."""
        if self._accepted is not None and blobs:
            self._tell(
                EventKind.HOST_KEY_LEARNED,
                self._accepted.account,
                **self._describe_login(self._accepted),
                client=self._describe_client()["client"],
                host_keys=[sha256_fingerprint(blob) for blob in blobs],
            )

    def say_goodbye(self, farewell: str) -> None:
        """Note what the client is told because we end the connection."""
        self._farewell = farewell

    def end(self, exc: Exception | None, *, account: Account | None) -> None:
        """Tell that the connection is gone, or why nothing came of it.

        `account` is the one that the client named, if there is any.
        """
        if self._accepted is not None:
            self._tell(
                EventKind.DISCONNECTED,
                self._accepted.account,
                reason=self._find_ending(exc).value,
                told=self._farewell,
            )
        elif self._unproved is not None:
            username, accepted = self._unproved
            blob = accepted.key.blob
            self.refuse(username, LoginFault.GAVE_UP, account=accepted.account, blob=blob)
        elif self.username and not self._told:
            self.refuse(self.username, LoginFault.NO_KEY_OFFERED, account=account)
        elif not self.username and self._connection is not None:
            self._tell_nameless(self._connection)

    def _tell_nameless(self, connection: Connection) -> None:
        """Tell of a client that spoke SSH and got no further; nobody knows whose it is."""
        if not connection.get_extra_info("client_version"):
            return
        facts: dict[str, JSON] = {"reason": LoginFault.GAVE_UP.value}
        if connection.unmatched is not None:
            lacking, offers = connection.unmatched
            offered = b",".join(offers).decode(errors="replace")
            facts = {
                "reason": LoginFault.NO_COMMON_ALGORITHMS.value,
                "lacking": lacking,
                "offered": _short(offered, _KEPT_LIST_LETTERS),
            }
        self._tell(EventKind.LOGIN_REFUSED, None, **facts, **self._describe_client())

    def _find_ending(self, exc: Exception | None) -> Ending:
        if self._farewell is not None:
            return Ending.ENDED
        if exc is None:
            return Ending.CLOSED
        if isinstance(exc, asyncssh.ConnectionLost | OSError):
            return Ending.LOST
        return Ending.FAILED

    @staticmethod
    def _describe_login(accepted: Accepted) -> dict[str, JSON]:
        return {
            "username": accepted.account.username,
            "fingerprint": accepted.key.fingerprint,
        }

    def _describe_client(self) -> dict[str, JSON]:
        if self._connection is None:
            return {"client": None}
        return {
            "client": _short(self._connection.get_extra_info("client_version")),
            "profile": self._connection.profile,
            **self._connection.negotiated(),
        }

    def _tell(self, kind: EventKind, account: Account | None, **facts: JSON) -> None:
        now = datetime.now(UTC)
        is_refusal = kind is EventKind.LOGIN_REFUSED
        if is_refusal and not self._tally.may_tell(self.address, account, now=now):
            return
        self._record(
            Event(
                id=uuid4(),
                at=now,
                kind=kind,
                district=account.district if account else None,
                session=self.id,
                facts={"address": self.address, **facts},
            )
        )


def _key_type(blob: bytes) -> str | None:
    try:
        return _short(SSHPacket(blob).get_string().decode("ascii"))
    except (PacketDecodeError, UnicodeDecodeError):
        return None


def _short(text: object, letters: int = _KEPT_LETTERS) -> str | None:
    """Keep as much of a stranger's text as a page can show."""
    if not isinstance(text, str):
        return None
    return "".join(c if c.isprintable() else "?" for c in text[:letters])
