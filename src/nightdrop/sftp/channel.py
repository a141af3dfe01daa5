# SPDX-License-Identifier: Apache-2.0
"""asyncssh's channel, which keeps less of what a client sends.

What is overridden, and why (asyncssh 2.24.1):
- `_process_env_request`: asyncssh keeps every variable, without a bound; none is used here.
- `_accept_data`: while a channel is not read, asyncssh keeps each packet's data by itself, which
  costs a hundred bytes for a packet of two. Here they are put together.
"""

from typing import cast

import asyncssh
from asyncssh.packet import SSHPacket


class Channel(asyncssh.SSHServerChannel[bytes]):
    """One channel of a client."""

    def _process_env_request(self, packet: SSHPacket) -> bool:
        """Accept a variable, and forget it."""
        packet.get_string()
        packet.get_string()
        packet.check_end()
        return True

    def _accept_data(self, data: bytes, datatype: asyncssh.DataType = None) -> None:
        """Take data in; what must wait waits in one piece."""
        super()._accept_data(data, datatype)
        waiting = cast("list[tuple[bytes | bytearray, asyncssh.DataType]]", self._recv_buf)
        if len(waiting) > 1:
            last, _ = waiting.pop()
            whole, kind = waiting[0]
            if isinstance(whole, bytes):
                whole = bytearray(whole)
                waiting[0] = (whole, kind)
            whole += last
