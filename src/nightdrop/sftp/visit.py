# SPDX-License-Identifier: Apache-2.0
"""One client from the moment it connects: who it is, what it may open, when it must go."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import asyncssh

from nightdrop.config import Config
from nightdrop.core.accounts import Accepted, Account, LoginFault, Refused, decide_login
from nightdrop.core.events import JSON, Event, EventKind
from nightdrop.sftp.bridge import Bridge
from nightdrop.sftp.connection import Connection
from nightdrop.sftp.diary import Writer
from nightdrop.sftp.sealing import Sealer
from nightdrop.sftp.session import SessionRoll, SftpSession
from nightdrop.sftp.snapshot import SnapshotHolder
from nightdrop.storage.tree import Tree

#: Session channels that one connection may have open.
MAX_CHANNELS: Final = 10
#: A user name goes into the journal this far: a stranger may type anything.
_KEPT_NAME: Final = 64

#: What a client reads when its session is ended because its login would now be refused.
_FAREWELLS: Final[Mapping[LoginFault, str]] = {
    LoginFault.UNKNOWN_USER: "This account was closed or renamed.",
    LoginFault.SUSPENDED: "This account was suspended. Ask whoever runs this service.",
    LoginFault.UNKNOWN_KEY: "The key that you logged in with was removed from this account.",
    LoginFault.KEY_EXPIRED: "The key that you logged in with has expired. Install a new one.",
    LoginFault.WRONG_NETWORK: "The key that you logged in with may not be used from here any more.",
}


@dataclass(slots=True)
class House:
    """What all visits of one process share."""

    config: Config
    tree: Tree
    bridge: Bridge
    sealer: Sealer
    snapshots: SnapshotHolder
    #: The port that is listened on, for the line that shells get.
    port: int = 0
    visits: "set[Visit]" = field(default_factory=set)
    roll: SessionRoll = field(default_factory=SessionRoll)


class Visit(asyncssh.SSHServer):
    """What asyncssh asks about one connection; also the `Decider` of that connection."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._id: Final = uuid4()
        self._connection: Connection | None = None
        self._address = ""
        self._username = ""
        self._accepted: Accepted | None = None
        self._offered: set[tuple[str, bytes]] = set()
        self._sessions: set[SftpSession] = set()
        self._has_begun = False

    # Coming and going.

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Note who came from where."""
        if not isinstance(conn, Connection):
            raise TypeError("a visit needs a connection that holds what was verified")
        self._connection = conn
        peer = conn.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._house.visits.add(self)
        self._record(EventKind.CONNECTED)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the client is gone."""
        self._house.visits.discard(self)
        if self._accepted is None and self._username and not self._offered:
            self._note_refused(self._username, None, LoginFault.NO_KEY_OFFERED)
        self._record(EventKind.DISCONNECTED, reason=type(exc).__name__ if exc else None)
        self._connection = None

    def end(self, farewell: str) -> None:
        """Disconnect; the client is told why, and files it has not closed are given up."""
        if self._connection is not None:
            self._connection.end(farewell)

    def is_idle(self) -> bool:
        """Whether nothing is under way that ending the connection would interrupt."""
        return all(session.is_idle() for session in self._sessions)

    # Logging in.

    def begin_auth(self, username: str) -> bool:
        """Note the name; a key is always needed."""
        self._username = username
        return True

    def password_auth_supported(self) -> bool:
        """Refuse passwords."""
        return False

    def kbdint_auth_supported(self) -> bool:
        """Refuse keyboard-interactive."""
        return False

    def public_key_auth_supported(self) -> bool:
        """Offer public keys, and nothing else."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Decide once more, for asyncssh: `Connection` has asked before it checks a signature."""
        return self.decide(username, key.public_data) is not None

    def decide(self, username: str, blob: bytes) -> Accepted | None:
        """Return what the key opens for `username`; None after noting why it does not."""
        config = self._house.config
        decision = decide_login(
            self._house.snapshots.current,
            username=username,
            blob=blob,
            address=self._address,
            now=datetime.now(UTC),
            max_age=timedelta(hours=config.snapshot_max_age_hours),
        )
        is_new = (username, blob) not in self._offered
        self._offered.add((username, blob))
        if isinstance(decision, Accepted):
            return decision
        if is_new:
            self._note_refused(username, blob, decision.reason, decision)
        return None

    def note_fault(self, username: str, accepted: Accepted, fault: LoginFault) -> None:
        """Note that a key which may log in was refused after all."""
        refused = Refused(fault, accepted.account, accepted.key)
        self._note_refused(username, accepted.key.blob, fault, refused)

    def auth_completed(self) -> None:
        """Bind everything that follows to the key that signed, for the name it signed for."""
        connection = self._connection
        if connection is None:
            return
        username = str(connection.get_extra_info("username"))
        self._accepted = connection.verified_for(username)
        if self._accepted is None:
            self.end("The login could not be verified.")
            return
        self._record(
            EventKind.LOGIN_ACCEPTED,
            username=self._accepted.account.username,
            fingerprint=self._accepted.key.fingerprint,
            client=self._client_version(),
            cipher=_short(connection.get_extra_info("recv_cipher")),
        )

    def recheck(self, *, now: datetime) -> None:
        """End the visit if its login would be refused now.

        A snapshot that has grown old ends nothing: the database is away, and what is
        under way was decided while it was there.
        """
        if self._accepted is None:
            return
        decision = decide_login(
            self._house.snapshots.current,
            username=self._accepted.account.username,
            blob=self._accepted.key.blob,
            address=self._address,
            now=now,
        )
        if isinstance(decision, Refused):
            self.end(_FAREWELLS.get(decision.reason, "This login is no longer valid."))

    # Opening channels.

    def session_requested(self) -> SftpSession:
        """Open a session channel, if there is room.

        Raises:  asyncssh.ChannelOpenError.
        """
        accepted, connection = self._accepted, self._connection
        if accepted is None or connection is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "Not logged in")
        self._check_room(accepted)
        district = accepted.account.district
        session = SftpSession(
            connection,
            writer=Writer(
                session=self._take_session_id(),
                district=district,
                fingerprint=accepted.key.fingerprint,
            ),
            tree=self._house.tree.district(district),
            bridge=self._house.bridge,
            sealer=self._house.sealer,
            roll=self._house.roll,
            instead=self._describe_use(accepted),
            on_gone=self._sessions.discard,
        )
        self._sessions.add(session)
        return session

    def _check_room(self, accepted: Accepted) -> None:
        limit = self._house.config.sessions_per_district
        if len(self._sessions) >= MAX_CHANNELS:
            text = f"A connection may have {MAX_CHANNELS} sessions open"
        elif self._house.roll.count(accepted.account.district) >= limit:
            text = f"This account has {limit} sessions open, as many as it may: close one"
            self.note_fault(accepted.account.username, accepted, LoginFault.TOO_MANY_SESSIONS)
        else:
            return
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, text)

    def _take_session_id(self) -> UUID:
        """Return the id of a new session.

        The first gets the connection's own, so that events of both are found together;
        nearly always it is the only one.
        """
        if self._has_begun:
            return uuid4()
        self._has_begun = True
        return self._id

    def _describe_use(self, accepted: Accepted) -> str:
        port = self._house.port
        host = self._house.config.public_host
        return (
            f"This account is for SFTP only. Use: sftp -P {port} {accepted.account.username}@{host}"
        )

    # The journal.

    def _note_refused(
        self, username: str, blob: bytes | None, reason: LoginFault, refused: Refused | None = None
    ) -> None:
        account = refused.account if refused else self._find_account(username)
        self._record(
            EventKind.LOGIN_REFUSED,
            account,
            username=_short(username.lower()),
            reason=reason.value,
            fingerprint=_fingerprint(blob) if blob else None,
            client=self._client_version(),
        )

    def _find_account(self, username: str) -> Account | None:
        snapshot = self._house.snapshots.current
        return snapshot.accounts.get(username.lower()) if snapshot else None

    def _client_version(self) -> str | None:
        connection = self._connection
        return _short(connection.get_extra_info("client_version")) if connection else None

    def _record(self, kind: EventKind, account: Account | None = None, **facts: JSON) -> None:
        if account is None and self._accepted is not None:
            account = self._accepted.account
        self._house.bridge.record(
            Event(
                id=uuid4(),
                at=datetime.now(UTC),
                kind=kind,
                district=account.district if account else None,
                session=self._id,
                facts={"address": self._address, **facts},
            )
        )


def _short(text: object) -> str | None:
    """Keep as much of a stranger's text as a page can show."""
    if not isinstance(text, str):
        return None
    return "".join(c if c.isprintable() else "?" for c in text[:_KEPT_NAME])


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
