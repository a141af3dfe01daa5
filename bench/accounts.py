# SPDX-License-Identifier: Apache-2.0
"""Many districts with a key each, as `account_maker` makes them and as clients read them."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from bench.processes import wait_until
from bench.running import Running


@dataclass(frozen=True, slots=True)
class AccountWithKey:
    """A district, its id, and the OpenSSH private key that opens its account."""

    username: str
    district: str
    key: str


def make_accounts(serving: Running, file: Path, *, count: int) -> list[AccountWithKey]:
    """Make districts, and wait until the SFTP server has told its disk of the last one."""
    start = time.perf_counter()
    serving.run_python("-m", "bench.account_maker", str(count), str(file))
    made = read_accounts(file)
    snapshot = serving.home / "snapshot" / "keys.json"
    wait_until(lambda: made[-1].username in snapshot.read_text(), what="the logins")
    print(
        f"{count} districts with a key each, by the services: {time.perf_counter() - start:.1f} s"
    )
    return made


def read_accounts(file: Path) -> list[AccountWithKey]:
    """Read what was made."""
    return [AccountWithKey(**json.loads(line)) for line in file.read_text().splitlines()]
