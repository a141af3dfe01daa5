# SPDX-License-Identifier: Apache-2.0
"""Makes many districts with a key each, in one process, through the services.

Run: python -m bench.account_maker COUNT FILE    with the settings of a running Nightdrop

Shape: FILE gets a line of JSON for each, see `accounts.AccountWithKey`.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from nightdrop.cli.main import set_up_django

set_up_django()

from bench.accounts import AccountWithKey  # noqa: E402 - the services need Django set up
from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: E402 - as below
    Ed25519PrivateKey,
)
from cryptography.hazmat.primitives.serialization import (  # noqa: E402 - as below
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from nightdrop.config import load_config  # noqa: E402 - as above
from nightdrop.services.districts import add_district  # noqa: E402 - as above
from nightdrop.services.keys import add_key  # noqa: E402 - as above
from nightdrop.storage.tree import Tree  # noqa: E402 - as above


def make(count: int) -> Iterator[AccountWithKey]:
    """Make districts and their keys, one after the other."""
    tree = Tree(load_config().tree)
    for number in range(count):
        username, district = f"district{number:04}.example", uuid4()
        key = Ed25519PrivateKey.generate()
        add_district(
            username,
            district=district,
            name=None,
            time_zone="UTC",
            nightly_at=None,
            is_nightly=False,
            tree=tree,
        )
        add_key(
            district,
            key_id=uuid4(),
            text=key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
            label="bench",
            expires_at=None,
            networks=(),
            now=datetime.now(UTC),
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        yield AccountWithKey(username, str(district), private.decode())


if __name__ == "__main__":
    with Path(sys.argv[2]).open("w", encoding="ascii") as lines:
        lines.writelines(json.dumps(asdict(made)) + "\n" for made in make(int(sys.argv[1])))
