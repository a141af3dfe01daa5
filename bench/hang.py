# SPDX-License-Identifier: Apache-2.0
"""Whether one district's trouble is felt by another: how long its `ls` takes meanwhile.

One district's disk hangs (the lock that its writers take is held from outside), or its clients
read nothing, or never log in, or open handles without end, see `hostile`. Another district's
sessions list a directory all the while, each from a process of its own (`lister`).

Run: python -m bench.hang [--seconds 5] [DEED ...]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.accounts import AccountWithKey, make_accounts
from bench.figures import Goal, percentile, show_figure
from bench.hostile import BIG_FILE, BIG_FILE_BYTES, Attack, Deed
from bench.lister import Listing
from bench.processes import PATIENCE_SECONDS
from bench.running import Running, running

GOAL: Final = Goal(100)


def main() -> None:
    """Measure each deed in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5, help="how long each goes on")
    parser.add_argument("deeds", nargs="*", metavar="DEED", help=", ".join(Deed))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nd-bench-") as directory:
        scratch = Path(directory)
        scratch.chmod(0o755)
        with running(scratch) as serving:
            attacker, victim = make_accounts(serving, scratch / "accounts", count=2)
            send_big_file(serving, attacker, scratch)
            for deed in map(Deed, given.deeds or Deed):
                measure(serving, deed, attacker=attacker, victim=victim, seconds=given.seconds)


def measure(
    serving: Running,
    deed: Deed,
    *,
    attacker: AccountWithKey,
    victim: AccountWithKey,
    seconds: float,
) -> None:
    """Print how long listing takes while something goes on."""
    listing = Listing(port=serving.port, username=victim.username, key=victim.key, seconds=seconds)
    attack = Attack(
        deed=deed,
        port=serving.port,
        username=attacker.username,
        key=attacker.key,
        directory=str(serving.directory(attacker.district)),
    )
    # Who lists has logged in before anything goes on.
    with (
        ordered("bench.lister", asdict(listing)) as lister,
        ordered("bench.hostile", asdict(attack)),
    ):
        if lister.stdin is None or lister.stdout is None:
            raise TypeError("a pipe was asked for")
        lister.stdin.write("begin\n")
        lister.stdin.flush()
        found = json.loads(lister.stdout.readline())
    remark = f"p50 {percentile(found, 50):6.1f}, max {max(found):6.1f} of {len(found):4}, p95"
    goal = None if deed is Deed.NOTHING else GOAL
    show_figure(f"ls while {deed}", percentile(found, 95), "ms", goal=goal, remark=remark)


@contextmanager
def ordered(module: str, order: dict[str, Any]) -> Iterator["subprocess.Popen[str]"]:
    """Run a module with an order, wait until it is ready, and end it with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise TypeError("a pipe was asked for")
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        if not process.stdout.readline():
            raise ChildProcessError(module)
        yield process
        process.stdin.close()
        if process.wait(PATIENCE_SECONDS):
            raise ChildProcessError(module)


def send_big_file(serving: Running, account: AccountWithKey, scratch: Path) -> None:
    """Send what will be asked for too often."""
    (scratch / BIG_FILE).write_bytes(bytes(BIG_FILE_BYTES))
    key = scratch / "key"
    key.touch(mode=0o600)
    key.write_text(account.key)
    command = [
        "sftp", "-q", "-F", "none", "-b", "-", "-P", str(serving.port), "-i", str(key),
        "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no",
        "-o", "LogLevel=ERROR", f"{account.username}@127.0.0.1",
    ]  # fmt: skip
    lines = f"put {scratch / BIG_FILE} /upload/\n"
    subprocess.run(command, input=lines, text=True, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
