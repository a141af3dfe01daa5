# SPDX-License-Identifier: Apache-2.0
"""What a connection meets first: whose it is, and whether it may come in, before SSH begins.

From a load balancer that is trusted a PROXY header must come first, and says whose the connection
is; from anybody else a header is what SSH calls a bad greeting, and ends the connection. Whoever
is turned away is told why, and costs next to nothing: no SSH object, no key exchange.

The farewell is a greeting and one packet that disconnects, in clear (RFC 4253, 4.2 and 11.1), for
every client shows the text of that. A plain line in the place of a greeting, which is allowed too,
is shown by OpenSSH when it is asked to be verbose, and by PuTTY never.
"""

import asyncio
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Final, cast

import structlog
from asyncssh import DISC_PROTOCOL_ERROR, DISC_TOO_MANY_CONNECTIONS
from asyncssh.constants import MSG_DISCONNECT

from nightdrop.core.addresses import read_address
from nightdrop.core.errors import Refusal
from nightdrop.core.proxy import ProxyHeaderBad, read_proxy_header
from nightdrop.sftp.guard import Guard, NodeCrowded, SourceCrowded, SourcePenalised, Ticket

log = structlog.get_logger()

#: Makes what serves a connection that was let in. Whatever it is must call `Guard.left` when the
#: connection is lost; `Guard.logged_in` when it has logged in.
Make = Callable[[Ticket], asyncio.Protocol]

#: How long somebody who was turned away has to read why. Closing at once would make the system
#: reset the connection if the client has greeted us, and that can swallow what we said.
_FAREWELL_SECONDS: Final = 2.0
#: How many are given that time; further ones are closed at once.
_MOST_FAREWELLS: Final = 256
#: Refusals are logged this often at the most, with their number.
_LOGGED_EVERY_SECONDS: Final = 60.0

_GREETING: Final = b"SSH-2.0-Nightdrop\r\n"
_SENTENCES: Final[Mapping[type[Refusal], str]] = {
    NodeCrowded: "Too many connections are waiting to log in. Try again in a minute.",
    SourceCrowded: "Too many connections from your network are waiting to log in."
    " Try again in a minute.",
    SourcePenalised: "Too many logins failed from your network. Try again at {until:%H:%M:%S} UTC.",
    ProxyHeaderBad: "The PROXY protocol header of your load balancer cannot be read.",
}


class Doors:
    """The doors of one process: call it for a new one, as a server does for each connection.

    `make` makes what serves a connection that was let in. `header_seconds` is how long the header
    of a trusted load balancer may take to arrive.
    """

    def __init__(
        self, guard: Guard, make: Make, *, trusted_proxies: Iterable[str], header_seconds: float
    ) -> None:
        self.guard: Final = guard
        self.make: Final = make
        self.header_seconds: Final = header_seconds
        #: Those whose header has not come.
        self.waiting: Final[set[Door]] = set()
        #: Those that were turned away and may still read why.
        self.leaving: Final[set[Door]] = set()
        self._trusted = [ip_network(network) for network in trusted_proxies]
        self._refused: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}

    def __call__(self) -> "Door":
        """Make the door for a new connection."""
        return Door(self)

    def close(self) -> None:
        """End the connections that still stand at a door; those that were let in are not ours."""
        for door in (*self.waiting, *self.leaving):
            door.abort()

    def is_trusted(self, address: str) -> bool:
        """Whether a header must come from there, and is believed."""
        if not self._trusted:
            return False
        place = read_address(address)
        return any(place in network for network in self._trusted)

    def note_refusal(self, refusal: Refusal, *, address: str) -> None:
        """Log that somebody was turned away: the first at once, then a number once a minute."""
        code, now = refusal.code, asyncio.get_running_loop().time()
        self._refused[code] += 1
        if now - self._logged_at.get(code, float("-inf")) >= _LOGGED_EVERY_SECONDS:
            number = self._refused.pop(code)
            self._logged_at[code] = now
            why = getattr(refusal, "why", None)
            log.warning("connections-refused", code=code, why=why, number=number, peer=address)


class Door(asyncio.Protocol):
    """One connection, until it is let in or turned away."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._arrived = b""
        self._address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the connection in at once, unless a header must come first."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if not peer:
            # It was gone before it was looked at.
            self._transport.abort()
            return
        self._address = str(read_address(peer[0]))
        if self._doors.is_trusted(self._address):
            self._stay(self._doors.waiting, seconds=self._doors.header_seconds)
        else:
            self._let_in(self._address, int(peer[1]), greeting=b"")

    def data_received(self, data: bytes) -> None:
        """Read the header; what somebody says who was turned away is not listened to.

        No more is kept than one read of the socket behind less than a header.
        """
        if self not in self._doors.waiting:
            return
        self._arrived += data
        try:
            header = read_proxy_header(self._arrived)
        except ProxyHeaderBad as refusal:
            self._turn_away(refusal)
            return
        if header is not None:
            greeting = self._arrived[header.used_bytes :]
            self._let_in(header.source or self._address, header.port, greeting=greeting)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it has gone by itself."""
        del exc
        self._go()

    def abort(self) -> None:
        """End the connection at once."""
        self._go()
        if self._transport is not None:
            self._transport.abort()

    def _let_in(self, address: str, port: int | None, *, greeting: bytes) -> None:
        """Ask the guard, and hand the connection and what it has said over to its server."""
        transport, guard = self._transport, self._doors.guard
        if transport is None:
            return
        self._address = address = str(read_address(address))
        try:
            ticket = guard.arrive(address, port=port, now=datetime.now(UTC))
        except Refusal as refusal:
            self._turn_away(refusal)
            return
        self._go()
        try:
            server = self._doors.make(ticket)
            transport.set_protocol(server)
            server.connection_made(transport)
            if greeting:
                server.data_received(greeting)
        except BaseException:
            guard.left(ticket)
            transport.abort()
            raise

    def _turn_away(self, refusal: Refusal) -> None:
        """Say why and close, in such a way that it can be read."""
        self._go()
        self._doors.note_refusal(refusal, address=self._address)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        is_fault = isinstance(refusal, ProxyHeaderBad)
        code = DISC_PROTOCOL_ERROR if is_fault else DISC_TOO_MANY_CONNECTIONS
        text = _SENTENCES[type(refusal)].format_map(vars(refusal))
        transport.write(_GREETING + _write_disconnect(code, text))
        if len(self._doors.leaving) < _MOST_FAREWELLS:
            transport.write_eof()
            self._stay(self._doors.leaving, seconds=_FAREWELL_SECONDS)
        else:
            transport.close()

    def _stay(self, place: "set[Door]", *, seconds: float) -> None:
        place.add(self)
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _go(self) -> None:
        self._doors.waiting.discard(self)
        self._doors.leaving.discard(self)
        self._arrived = b""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _write_disconnect(code: int, text: str) -> bytes:
    """Return the packet that ends a connection before keys are exchanged.

    Shape:   uint32 length, byte padding length, byte 1, uint32 code, string text, string language,
             padding of at least 4 bytes, so that all of it is a multiple of 8 (RFC 4253, 6).
    """
    words = text.encode("ascii"), b"en"
    payload = struct.pack(">BI", MSG_DISCONNECT, code)
    payload += b"".join(struct.pack(">I", len(word)) + word for word in words)
    padding = 4 + -(len(payload) + 9) % 8
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)
