# SPDX-License-Identifier: Apache-2.0
"""A client that lists a directory again and again, and says how long each time took.

Run: python -m bench.lister    reads a `Listing` as one line of JSON, prints a line when it is
                               logged in, begins at the next line, prints milliseconds as JSON
"""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import asyncssh

#: Sessions, so that there are some with every SFTP process.
SESSIONS: Final = 8
PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Who lists, and for how long."""

    port: int
    username: str
    key: str
    seconds: float


async def list_often(listing: Listing) -> list[float]:
    """Return the milliseconds of each listing, in all sessions."""
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(SESSIONS):
            connection = await stack.enter_async_context(
                asyncssh.connect(
                    "127.0.0.1",
                    listing.port,
                    username=listing.username,
                    client_keys=[asyncssh.import_private_key(listing.key)],
                    known_hosts=None,
                    config=None,
                    agent_path=None,
                )
            )
            clients.append(await stack.enter_async_context(connection.start_sftp_client()))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        end = time.monotonic() + listing.seconds
        found = await asyncio.gather(*(_list(client, until=end) for client in clients))
    return [each for one in found for each in one]


async def _list(client: asyncssh.SFTPClient, *, until: float) -> list[float]:
    found = []
    while (start := time.monotonic()) < until:
        await client.listdir("/upload")
        found.append((time.monotonic() - start) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(list_often(Listing(**json.loads(sys.stdin.readline()))))))
