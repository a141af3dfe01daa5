# SPDX-License-Identifier: Apache-2.0
"""A district that lists /upload all the time: PORT USERNAME KEY-FILE ADDRESS.

Begins a listing every 25 ms, or as soon as the one before is there. Prints a line for each: when
it began and when it was there, in seconds of CLOCK_MONOTONIC, which all processes share.

It connects from ADDRESS, so that what it meets is not what its neighbour at another address
has brought upon itself.
"""

import asyncio
import sys
import time

import asyncssh
import uvloop

INTERVAL_SECONDS = 0.025


async def list_always(port: int, username: str, key_file: str, address: str) -> None:
    """List until nobody reads what is printed."""
    async with (
        asyncssh.connect(
            "127.0.0.1", port, username=username, client_keys=[key_file], known_hosts=None,
            config=None, agent_path=None, local_addr=(address, 0),
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):  # fmt: skip
        while True:
            begun = time.monotonic()
            await sftp.listdir("/upload")
            ended = time.monotonic()
            sys.stdout.write(f"{begun} {ended}\n")
            sys.stdout.flush()
            await asyncio.sleep(begun + INTERVAL_SECONDS - ended)


def main() -> None:
    """Read the arguments and list."""
    port, username, key_file, address = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(list_always(int(port), username, key_file, address))


if __name__ == "__main__":
    main()
