# SPDX-License-Identifier: Apache-2.0
"""A process that is many districts at once: each comes at its moment and sends its night.

Run: python -m bench.arrivals_client    reads an `Order` as JSON, prints `Done` as JSON
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import asyncssh
import uvloop
from bench.accounts import AccountWithKey, read_accounts

#: An end is waited for this long.
PATIENCE_SECONDS: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one process is to do: account `numbers[i]` comes at `moments[i]` (Unix time)."""

    port: int
    accounts: str
    epoch: str
    files: Sequence[str]
    numbers: Sequence[int]
    moments: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How it went: seconds of each session that succeeded, and what others met."""

    seconds: Sequence[float]
    faults: Sequence[str]
    cpu_seconds: float


def source_of(number: int) -> str:
    """Return the address that a district comes from; all of 127.0.0.0/8 is this machine."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


async def run(
    order: Order, *, accounts: Sequence[AccountWithKey], files: Mapping[str, bytes]
) -> Done:
    """Run all sessions, each at its moment."""
    # What a client has ready before it connects is not the session's time.
    keys = {number: asyncssh.import_private_key(accounts[number].key) for number in order.numbers}
    seconds: list[float] = []
    faults: list[str] = []

    async def arrive(number: int, moment: float) -> None:
        await asyncio.sleep(moment - time.time())
        start = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await send_night(
                    order, number=number, username=accounts[number].username, key=keys[number],
                    files=files,
                )  # fmt: skip
        except (OSError, asyncssh.Error, TimeoutError) as fault:
            faults.append(f"{type(fault).__name__}: {fault}")
        else:
            seconds.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for number, moment in zip(order.numbers, order.moments, strict=True):
            group.create_task(arrive(number, moment))
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Done(seconds=seconds, faults=faults, cpu_seconds=used.ru_utime + used.ru_stime)


async def send_night(
    order: Order, *, number: int, username: str, key: asyncssh.SSHKey, files: Mapping[str, bytes]
) -> None:
    """Log in, make the epoch, send its files and the marker, and go."""
    place = f"/upload/{order.epoch}"
    async with (
        asyncssh.connect(
            "127.0.0.1",
            order.port,
            local_addr=(source_of(number), 0),
            username=username,
            client_keys=[key],
            known_hosts=None,
            config=None,
            agent_path=None,
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        await sftp.mkdir(place)
        for name, content in {**files, "COMPLETE": b""}.items():
            async with sftp.open(f"{place}/{name}", "wb") as file:
                await file.write(content)


def main() -> None:
    """Do what standard input orders."""
    order = Order(**json.load(sys.stdin))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        done = runner.run(
            run(
                order,
                accounts=read_accounts(Path(order.accounts)),
                files={Path(name).name: Path(name).read_bytes() for name in order.files},
            )
        )
    json.dump(asdict(done), sys.stdout)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
