# SPDX-License-Identifier: Apache-2.0
"""asyncssh's connection, with what it lacks for a server that strangers can reach.

What is overridden, and why (asyncssh 2.24.1):
- `validate_public_key`: the account of a session is the one whose key *signed*, held here in
  one value; and the signature's algorithm must be one that is offered, which asyncssh does
  not check.
- `send_userauth_failure`: a client gets six tries, and may ask for the service anew before
  each: paramiko does, and asyncssh would disconnect it at its second key.
- `pause_writing`, `resume_writing`: asyncssh ignores them, so that a client which grants a
  large window and stops reading makes the server keep all that it asked for.
- `data_received`, `_recv_pkthdr`: asyncssh looks at all that came in one go, so that a client
  which sends thousands of tiny packets makes everybody wait for seconds; see `sftp.turns`.
- `_process_hostkeys_prove_...`: one packet could ask for hundreds of RSA signatures, which
  would stop everybody for seconds; one proof of each key is all that a client needs. Which
  keys were asked about is noted: a client that knows the next one will not be surprised.
- `_choose_alg`, `choose_server_host_key`: asyncssh forgets what was agreed on, and what a client
  offered in vain, which the record of attempts needs.
- answers to global requests that nobody asked for: phpseclib refuses each request that it
  meets, the announcement of host keys included, and asyncssh would end the connection.
- `reload_config`: it would build all options anew for each user name; there are no
  configuration files here.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, cast

import asyncssh
from asyncssh.constants import MSG_IGNORE, MSG_REQUEST_FAILURE, MSG_REQUEST_SUCCESS
from asyncssh.packet import PacketDecodeError, SSHPacket, SSHPacketLogger

from nightdrop.core.accounts import Accepted, LoginFault
from nightdrop.core.keys.fingerprint import sha256_fingerprint
from nightdrop.sftp.algorithms import MODERN, SIGNATURES
from nightdrop.sftp.channel import Channel
from nightdrop.sftp.guard import Ticket
from nightdrop.sftp.turns import TURN_PACKETS, Turns

#: Refusals before a connection ends. The request for the list of methods ("none"), with
#: which nearly every client begins, does not count.
MAX_TRIES: Final = 6

#: What is agreed on for a connection: asyncssh's names, and ours.
_AGREEMENTS: Final[Mapping[str, str]] = {
    "key exchange": "kex",
    "encryption": "cipher",
    "MAC": "mac",
    "compression": "compression",
}
_SIGNATURES: Final = frozenset(name.encode() for name in SIGNATURES)
#: Answers kept back while keys are exchanged; who asks must wait for that too (RFC 4253, 7.1).
_MAX_DEFERRED: Final = 1000
#: What is handed to asyncssh at a time: it copies all that it has for each packet.
_PIECE_BYTES: Final = 64 * 1024
#: What may be waiting for the kernel before a sender waits too.
_GATHERED_BYTES: Final = 256 * 1024
#: A request to prove each of our host keys, and little more.
_MAX_PROOF_BYTES: Final = 2048
#: How often a sender looks whether a key exchange is over. They take milliseconds, and
#: happen once in an hour or a gibibyte.
_EXCHANGE_POLL_SECONDS: Final = 0.01


class Decider(Protocol):
    """What a connection asks about keys; `sftp.visit.Visit` answers."""

    def decide(self, username: str, blob: bytes) -> Accepted | None:
        """Return what the key opens for `username`; None after noting why it does not."""

    def note_fault(self, username: str, accepted: Accepted, fault: LoginFault) -> None:
        """Note that a key which may log in was refused after all."""

    def note_learned(self, blobs: Sequence[bytes]) -> None:
        """Note that the client was given proof of these host keys, which it did not know."""


class Connection(asyncssh.SSHServerConnection):
    """One client's connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHServerConnectionOptions,
        *,
        ticket: Ticket,
        on_gone: Callable[[], None],
        turns: Turns,
        profile: str = MODERN.name,
    ) -> None:
        super().__init__(loop, options)
        #: How it came in. Its address is the client's, whoever passed the connection on.
        self.ticket: Final = ticket
        self._on_gone = on_gone
        self.set_extra_info(peername=(ticket.address, ticket.port))
        #: What the port of this connection speaks, by its name.
        self.profile: Final = profile
        self._is_drained = asyncio.Event()
        self._is_drained.set()
        self._verified: tuple[str, Accepted] | None = None
        self._failures = 0
        self._has_proved = False
        self._turns: Final = turns
        self._ahead = bytearray()
        self._packets_left = 0
        self._waits_for_turn = False
        self._agreed: dict[str, str] = {}
        #: What nothing was agreed on for, and what the client had offered for it.
        self.unmatched: tuple[str, tuple[bytes, ...]] | None = None

    def negotiated(self) -> dict[str, str]:
        """Return what is agreed on so far.

        Shape:   `kex`, `cipher` and `mac` (of what the client sends; no `mac` where the cipher
                 has its own), `host_key_algorithm`, and `host_key`, the fingerprint.
        """
        agreed = dict(self._agreed)
        agreed.pop("compression", None)
        signer = self.get_server_host_key()
        if signer is not None:
            agreed["host_key_algorithm"] = signer.algorithm.decode("ascii")
            agreed["host_key"] = sha256_fingerprint(signer.public_data)
        return agreed

    def verified_for(self, username: str) -> Accepted | None:
        """Return what the last good signature opens, if it was made for `username`."""
        if self._verified and self._verified[0] == username:
            return self._verified[1]
        return None

    def count_packets(self) -> int:
        """Return how many packets came so far, since the keys were exchanged for the last time."""
        return int(self._recv_seq)

    async def drained(self) -> None:
        """Wait until what was sent has left this process far enough to send more.

        During a key exchange asyncssh keeps all data back, so that a client which begins
        one and never ends it must not be sent anything either.
        """
        await self._is_drained.wait()
        while not self._kex_complete and not self.is_closed():  # noqa: ASYNC110 - no event exists
            await asyncio.sleep(_EXCHANGE_POLL_SECONDS)

    def end(self, reason: str, *, code: int = asyncssh.DISC_BY_APPLICATION) -> None:
        """Disconnect, with a reason for the person in front of the client.

        asyncssh's own `disconnect` closes the channels first, and many a client then ends
        before it has read why.
        """
        self._send_disconnect(code, reason, "en")
        self._force_close(asyncssh.DisconnectError(code, reason))

    async def validate_public_key(
        self, username: str, key_data: bytes, msg: bytes, signature: bytes
    ) -> bool:
        """Decide about a key that is offered (no `msg`) or that has signed `msg`."""
        self._verified = None
        decider = cast("Decider | None", self.get_owner())
        accepted = decider.decide(username, key_data) if decider else None
        if decider is None or accepted is None:
            return False
        if not msg:
            return True
        if _signature_name(signature) not in _SIGNATURES:
            decider.note_fault(username, accepted, LoginFault.WEAK_SIGNATURE)
            return False
        if not await super().validate_public_key(username, key_data, msg, signature):
            decider.note_fault(username, accepted, LoginFault.BAD_SIGNATURE)
            return False
        self._verified = (username, accepted)
        return True

    def send_userauth_failure(self, partial_success: bool) -> None:  # noqa: FBT001 - theirs
        """Answer a refused try; after the last one, end the connection."""
        self._failures += 1
        if self._failures > MAX_TRIES:
            self.end("Too many tries to log in", code=asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE)
            return
        super().send_userauth_failure(partial_success)
        self._next_service = b"ssh-userauth"

    def send_packet(
        self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None
    ) -> None:
        """Send a packet, without the empty one that asyncssh puts before each.

        That one defends ciphers in CBC mode, of which none is offered.
        """
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    def _choose_alg(
        self, alg_type: str, local_algs: Sequence[bytes], remote_algs: Sequence[bytes]
    ) -> bytes:
        """Choose an algorithm, and note which, or that there is none."""
        name = _AGREEMENTS.get(alg_type, alg_type)
        try:
            chosen = super()._choose_alg(alg_type, local_algs, remote_algs)
        except asyncssh.KeyExchangeFailed:
            self.unmatched = (name, tuple(remote_algs))
            raise
        # Asked for both directions, the client's first; the two hardly ever differ.
        self._agreed.setdefault(name, chosen.decode("ascii"))
        return chosen

    def choose_server_host_key(self, peer_host_key_algs: Sequence[bytes]) -> bool:
        """Choose the host key, and note if there is none that the client understands."""
        is_found = super().choose_server_host_key(peer_host_key_algs)
        if not is_found:
            self.unmatched = ("host-key", tuple(peer_host_key_algs))
        return is_found

    async def reload_config(self) -> None:
        """Keep the options: they do not depend on who logs in."""

    def _process_hostkeys_prove_00_at_openssh_dot_com_global_request(
        self, packet: SSHPacket
    ) -> None:
        """Prove to possess the host keys, once."""
        is_first, self._has_proved = not self._has_proved, True
        if not is_first or len(packet.get_full_payload()) > _MAX_PROOF_BYTES:
            self._report_global_response(result=False)
            return
        asked = packet.get_remaining_payload()
        super()._process_hostkeys_prove_00_at_openssh_dot_com_global_request(packet)
        # They are well formed: asyncssh would have ended the connection.
        blobs = _read_strings(asked)
        decider = cast("Decider | None", self.get_owner())
        # It proves all of them or none.
        if decider is not None and self._all_server_host_keys.keys() >= set(blobs):
            decider.note_learned(blobs)

    def _take_global_answer(self, kind: int, packet_id: int, packet: SSHPacket) -> None:
        """Take the answer to a global request, if there is a request."""
        if self._global_request_waiters:
            super()._process_global_response(kind, packet_id, packet)

    _packet_handlers = {
        **asyncssh.SSHServerConnection._packet_handlers,  # noqa: SLF001 - it is our own base
        MSG_REQUEST_SUCCESS: _take_global_answer,
        MSG_REQUEST_FAILURE: _take_global_answer,
    }

    def data_received(self, data: bytes, datatype: asyncssh.DataType = None) -> None:
        """Look at some of what came, and at the rest when it is this connection's turn again.

        A client that does not read the answers is not listened to either.
        """
        del datatype
        if self._waits_for_turn or self._ahead or not self._is_drained.is_set():
            self._ahead += data
            return
        self._packets_left = TURN_PACKETS
        if len(data) > _PIECE_BYTES:
            self._ahead += data
            self._look_ahead()
        else:
            super().data_received(data)
        self._end_turn()

    def _take_turn(self) -> None:
        self._waits_for_turn = False
        if self._is_drained.is_set():
            self._packets_left = TURN_PACKETS
            # What asyncssh has in its hands comes first.
            self._recv_data()
            self._look_ahead()
            self._end_turn()

    def _look_ahead(self) -> None:
        while self._ahead and self._packets_left and self._transport:
            with memoryview(self._ahead) as ahead:
                piece = bytes(ahead[:_PIECE_BYTES])
            del self._ahead[:_PIECE_BYTES]
            super().data_received(piece)

    def _end_turn(self) -> None:
        if len(self._deferred_packets) > _MAX_DEFERRED:
            self.end("Too many requests during a key exchange", code=asyncssh.DISC_PROTOCOL_ERROR)
        if self._transport is None or self._transport.is_closing():
            self._ahead.clear()
        elif self._ahead or not self._packets_left:
            self._wait_for_turn()
        elif self._is_drained.is_set():
            self._transport.resume_reading()

    def _wait_for_turn(self) -> None:
        if self._transport is not None and not self._waits_for_turn:
            self._waits_for_turn = True
            self._transport.pause_reading()
            self._turns.wait(self._take_turn)

    def _recv_pkthdr(self) -> bool:
        """Begin with the next packet, unless it is somebody else's turn.

        asyncssh comes here by itself when it has decided about a packet that takes its time.
        """
        if not self._packets_left:
            self._wait_for_turn()
            return False
        is_whole = super()._recv_pkthdr()
        self._packets_left -= is_whole
        return is_whole

    def make_channel(self, *, window_bytes: int) -> Channel:
        """Make the channel of a session; its client may send so much ahead."""
        self._update_recv_pktlen(self._max_pktsize)
        return Channel(
            self,
            self._loop,
            allow_pty=False,
            line_editor=False,
            line_echo=False,
            line_history=0,
            max_line_length=0,
            encoding=None,
            errors="strict",
            window=window_bytes,
            max_pktsize=self._max_pktsize,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the packets of one batch gather, to be handed to the kernel together."""
        # Of uvloop's transports none says that it is one.
        cast("asyncio.WriteTransport", transport).set_write_buffer_limits(high=_GATHERED_BYTES)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        """Note that the socket takes no more for now."""
        self._is_drained.clear()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Note that the socket takes data again."""
        self._is_drained.set()
        if self._ahead or not self._packets_left:
            self._wait_for_turn()
        elif self._transport is not None and not self._waits_for_turn:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None = None) -> None:
        """Let whoever waits to send find out that there is nobody left."""
        self._is_drained.set()
        super().connection_lost(exc)
        self._on_gone()


def _read_strings(payload: bytes) -> tuple[bytes, ...]:
    """Return the strings that a packet consists of, each once."""
    packet = SSHPacket(payload)
    found: dict[bytes, None] = {}
    while packet:
        found[packet.get_string()] = None
    return tuple(found)


def _signature_name(signature: bytes) -> bytes | None:
    try:
        return SSHPacket(signature).get_string()
    except PacketDecodeError:
        return None
