# SPDX-License-Identifier: Apache-2.0
"""One port: what it speaks, and with which host keys it greets whoever connects next."""

import asyncio
import socket
from functools import partial
from typing import Final, cast

from nightdrop.sftp.algorithms import Profile
from nightdrop.sftp.connection import Connection
from nightdrop.sftp.door import Doors
from nightdrop.sftp.guard import Ticket
from nightdrop.sftp.hostkeys import HostKeys
from nightdrop.sftp.options import make_options
from nightdrop.sftp.visit import House

_BACKLOG: Final = 1024


class Listener:
    """A port of this process, which other processes may share. Use it on the loop's thread."""

    def __init__(self, house: House, profile: Profile, *, keys: HostKeys) -> None:
        self._house: Final = house
        self._profile: Final = profile
        self._options = make_options(house, keys, profile=profile)
        self._server: asyncio.Server | None = None
        self._doors: Final = Doors(
            house.guard,
            self.make_connection,
            trusted_proxies=house.config.trusted_proxies,
            header_seconds=house.config.login_grace_seconds,
        )

    def use(self, keys: HostKeys) -> None:
        """Greet new connections with these keys; those that are there keep theirs."""
        self._options = make_options(self._house, keys, profile=self._profile)

    def make_connection(self, ticket: Ticket) -> asyncio.Protocol:
        """Return the protocol of a connection that was let in."""
        connection = Connection(
            asyncio.get_running_loop(),
            self._options,
            profile=self._profile.name,
            ticket=ticket,
            turns=self._house.turns,
            on_gone=partial(self._house.guard.left, ticket),
        )
        # asyncssh's connection is one in all but name.
        return cast("asyncio.Protocol", connection)

    async def open(self, bound: socket.socket) -> int:
        """Let clients connect, who wait until `start`; return the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._doors, sock=bound, backlog=_BACKLOG, start_serving=False
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Take connections."""
        if self._server is not None:
            await self._server.start_serving()

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()
        self._doors.close()
