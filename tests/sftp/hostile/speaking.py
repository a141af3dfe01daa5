# SPDX-License-Identifier: Apache-2.0
"""One session's handler, without a network: a packet in, its reply out, and both looked at."""

import struct
from dataclasses import dataclass
from uuid import uuid4

from nightdrop.core.events import Event
from nightdrop.sftp.diary import Diary, Writer
from nightdrop.sftp.handler import Handler
from nightdrop.sftp.packets import MAX_PACKET_BYTES, Kind, Status
from nightdrop.sftp.shares import DistrictShare
from nightdrop.storage.district import DistrictTree

REPLIES = {Kind.VERSION, Kind.STATUS, Kind.HANDLE, Kind.DATA, Kind.NAME, Kind.ATTRS,
           Kind.EXTENDED_REPLY}  # fmt: skip
#: What a client reads when something happened that no rule foresaw: always a fault of ours.
OUR_FAULT = "The server could not do that"


@dataclass(frozen=True)
class Reply:
    """One reply, taken apart: `code` and `sentence` of a status, `handle` of a handle."""

    kind: Kind
    request_id: int
    body: bytes

    @property
    def code(self) -> Status | None:
        """The code of a status."""
        if self.kind is not Kind.STATUS:
            return None
        return Status(int.from_bytes(self.body[:4], "big"))

    @property
    def sentence(self) -> str:
        """What a status says."""
        if self.kind is not Kind.STATUS:
            return ""
        (size,) = struct.unpack_from(">I", self.body, 4)
        return self.body[8 : 8 + size].decode()

    @property
    def handle(self) -> bytes:
        """The handle, as a string on the wire."""
        assert self.kind is Kind.HANDLE, self
        return self.body


class Speaker:
    """A session of a district that is asked one thing at a time."""

    events: list[Event]

    def __init__(self, tree: DistrictTree) -> None:
        self.events = []
        share = DistrictShare()
        writer = Writer(session=uuid4(), district=tree.id, fingerprint="SHA256:x", share=share)
        diary = Diary(writer, append=self.events.append)
        self.handler = Handler(tree, diary, share=share, reply_bytes=MAX_PACKET_BYTES)
        #: Epochs that the last request gave their marker.
        self.marked: set[str] = set()

    def ask(self, packet: bytes) -> Reply:
        """Return the reply to a packet: there is exactly one, and it is well formed.

        Raises:  PacketRefused, PacketMalformed.
        """
        outcome = self.handler.handle([packet])
        assert outcome.handled == 1
        assert outcome.touched >= outcome.marked
        self.marked = outcome.marked
        return read_reply(outcome.replies)

    def end(self) -> None:
        """End the session without a close of what is open."""
        self.handler.abandon()
        assert not self.handler.has_open()


def read_reply(data: bytes) -> Reply:
    """Take one whole reply apart."""
    size, kind, request_id = struct.unpack_from(">IBI", data)
    assert size == len(data) - 4 <= MAX_PACKET_BYTES
    assert kind in REPLIES, data[:20]
    reply = Reply(Kind(kind), request_id, data[9:])
    assert OUR_FAULT not in reply.sentence, reply
    return reply
