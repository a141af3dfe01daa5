# SPDX-License-Identifier: Apache-2.0
"""One client from the moment it connects: who it is, what it may open, when it must go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID, uuid4

import asyncssh

from nightdrop.config import Config
from nightdrop.core.accounts import Accepted, Account, LoginFault, Refused, decide_login
from nightdrop.core.quota import Amount
from nightdrop.sftp.attempt import Attempt, Tally
from nightdrop.sftp.bridge import Bridge
from nightdrop.sftp.channel import Channel
from nightdrop.sftp.connection import Connection
from nightdrop.sftp.diary import Writer
from nightdrop.sftp.guard import Guard, TooManySessions
from nightdrop.sftp.sealing import Sealer
from nightdrop.sftp.session import SessionRoll, SftpSession
from nightdrop.sftp.snapshot import SnapshotHolder
from nightdrop.sftp.turns import Turns
from nightdrop.storage.tree import Tree

#: Session channels that one connection may have open.
MAX_CHANNELS: Final = 10
#: Further ones that it may ask for in vain before it is ended.
MAX_REFUSED_CHANNELS: Final = 1000

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
    guard: Guard
    visits: "set[Visit]" = field(default_factory=set)
    roll: SessionRoll = field(default_factory=SessionRoll)
    tally: Tally = field(default_factory=Tally)
    turns: Turns = field(default_factory=Turns)

    def find_quota(self, account: Account) -> Amount:
        """Return what an account may have in /upload now, also when that was just changed."""
        snapshot = self.snapshots.current
        current = snapshot.accounts.get(account.username) if snapshot else None
        return (current or account).find_quota(default=self.config.quota)


class Visit(asyncssh.SSHServer):
    """What asyncssh asks about one connection; also the `Decider` of that connection."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._connection: Connection | None = None
        self._attempt = Attempt(record=house.bridge.record, tally=house.tally)
        self._accepted: Accepted | None = None
        #: The districts whose sessions they are: counted in, and still to be counted out.
        self._sessions: dict[SftpSession, UUID] = {}
        self._has_begun = False
        self._refused_channels = 0

    # Coming and going.

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Note who came from where."""
        if not isinstance(conn, Connection):
            raise TypeError("a visit needs a connection that holds what was verified")
        self._connection = conn
        peer = conn.get_extra_info("peername")
        self._attempt.begin(conn, address=str(peer[0]) if peer else "")
        self._house.visits.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the client is gone."""
        self._house.visits.discard(self)
        self._attempt.end(exc, account=self._find_account(self._attempt.username))
        # Those that asyncssh never began.
        for session in tuple(self._sessions):
            self._leave(session)
        if self._accepted is None and self._connection is not None:
            self._count_failures(self._connection.ticket.source)
        self._connection = None

    def end(self, farewell: str) -> None:
        """Disconnect; the client is told why, and files it has not closed are given up."""
        if self._connection is not None:
            self._attempt.say_goodbye(farewell)
            self._connection.end(farewell)

    def is_idle(self) -> bool:
        """Whether nothing is under way that ending the connection would interrupt."""
        return all(session.is_idle() for session in self._sessions)

    def count_packets(self) -> int:
        """Return a number that changes with each packet of the client."""
        return self._connection.count_packets() if self._connection else 0

    # Logging in.

    def begin_auth(self, username: str) -> bool:
        """Note the name; a key is always needed."""
        self._attempt.username = username
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
        config, now = self._house.config, datetime.now(UTC)
        decision = decide_login(
            self._house.snapshots.current,
            username=username,
            blob=blob,
            address=self._attempt.address,
            now=now,
            max_age=timedelta(hours=config.snapshot_max_age_hours),
        )
        # Asked whatever was decided, so that nothing takes longer than anything else.
        if self._must_wait(username, now=now):
            account = self._find_account(username)
            self._attempt.refuse(username, LoginFault.PENALISED, account=account, blob=blob)
            return None
        if isinstance(decision, Accepted):
            self._attempt.like(username, decision)
            return decision
        self._attempt.refuse(username, decision.reason, account=decision.account, blob=blob)
        return None

    def note_fault(self, username: str, accepted: Accepted, fault: LoginFault) -> None:
        """Note that a key which may log in was refused after all."""
        self._attempt.refuse(username, fault, account=accepted.account, blob=accepted.key.blob)

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
        self._house.guard.logged_in(connection.ticket, username, now=datetime.now(UTC))
        self._attempt.accept(self._accepted)

    def note_learned(self, blobs: Sequence[bytes]) -> None:
        """Note that the client was given proof of these host keys, which it did not know."""
        self._attempt.learn(blobs)

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
            address=self._attempt.address,
            now=now,
        )
        if isinstance(decision, Refused):
            self.end(_FAREWELLS.get(decision.reason, "This login is no longer valid."))

    # Opening channels.

    def session_requested(self) -> tuple[Channel, SftpSession]:
        """Open a session channel, if there is room.

        Raises:  asyncssh.ChannelOpenError.
        """
        accepted, connection = self._accepted, self._connection
        if accepted is None or connection is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "Not logged in")
        district = accepted.account.district
        tree = self._house.tree.district(
            district, find_quota=partial(self._house.find_quota, accepted.account)
        )
        self._enter(accepted)
        session = SftpSession(
            connection,
            writer=Writer(
                session=self._take_session_id(),
                district=district,
                fingerprint=accepted.key.fingerprint,
                share=self._house.roll.share_of(district),
            ),
            tree=tree,
            bridge=self._house.bridge,
            sealer=self._house.sealer,
            roll=self._house.roll,
            instead=self._describe_use(accepted, connection),
            on_gone=self._leave,
        )
        self._sessions[session] = district
        return connection.make_channel(window_bytes=session.share.window_bytes), session

    def _enter(self, accepted: Accepted) -> None:
        """Count a session in, if there is room."""
        if len(self._sessions) >= MAX_CHANNELS:
            self._refused_channels += 1
            if self._refused_channels > MAX_REFUSED_CHANNELS:
                self.end("Too many sessions were asked for.")
            text = f"A connection may have {MAX_CHANNELS} sessions open"
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, text)
        try:
            self._house.guard.enter_session(accepted.account.district)
        except TooManySessions as refusal:
            self.note_fault(accepted.account.username, accepted, LoginFault.TOO_MANY_SESSIONS)
            text = f"This account has {refusal.limit} sessions open, as many as it may: close one"
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, text) from refusal

    def _leave(self, session: SftpSession) -> None:
        """Count a session out, once."""
        district = self._sessions.pop(session, None)
        if district is not None:
            self._house.guard.leave_session(district)

    def _must_wait(self, username: str, *, now: datetime) -> bool:
        connection = self._connection
        if connection is None:
            return False
        source = connection.ticket.source
        return self._house.guard.penalty_until(source, username, now=now) is not None

    def _count_failures(self, source: str) -> None:
        """Count the names that were tried in vain, each once, however many keys were offered.

        While nobody knows the accounts, nothing that failed was the client's fault.
        """
        if self._house.snapshots.current is None:
            return
        now = datetime.now(UTC)
        for name in self._attempt.failed_names():
            account = self._find_account(name)
            for penalty in self._house.guard.failed(
                source, name, has_account=account is not None, now=now
            ):
                self._attempt.penalise(penalty, account=account if penalty.name else None)

    def _take_session_id(self) -> UUID:
        """Return the id of a new session.

        The first gets the connection's own, so that events of both are found together;
        nearly always it is the only one.
        """
        if self._has_begun:
            return uuid4()
        self._has_begun = True
        return self._attempt.id

    def _describe_use(self, accepted: Accepted, connection: Connection) -> str:
        # A client that needs the legacy port must not be sent to the other.
        port = connection.get_extra_info("sockname")[1]
        host = self._house.config.public_host
        return (
            f"This account is for SFTP only. Use: sftp -P {port} {accepted.account.username}@{host}"
        )

    def _find_account(self, username: str) -> Account | None:
        snapshot = self._house.snapshots.current
        return snapshot.accounts.get(username.lower()) if snapshot else None
