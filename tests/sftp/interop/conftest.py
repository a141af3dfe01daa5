# SPDX-License-Identifier: Apache-2.0
"""One server for all clients of a run; each client has a district of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightdrop.config import Config
from nightdrop.storage.tree import Tree
from sftp.harness import Nightdrop


@pytest.fixture(scope="session")
def interop_server(
    tmp_path_factory: pytest.TempPathFactory, host_keys: Path
) -> Iterator[Nightdrop]:
    """Run a server on which nothing seals by being quiet: only the end of a session does it."""
    config = Config.model_validate(
        {
            "home": tmp_path_factory.mktemp("interop") / "home",
            "public_host": "drop.example.org",
            "sftp_port": 0,
            "sftp_legacy_port": 0,
            "seal_quiet_seconds": 3600,
        }
    )
    tree = Tree(config.tree)
    tree.prepare()
    shutil.copytree(host_keys, config.hostkeys_dir)
    server = Nightdrop(config, tree)
    server.know()
    server.start()
    yield server
    server.stop()
