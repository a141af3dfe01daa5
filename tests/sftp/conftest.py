# SPDX-License-Identifier: Apache-2.0
"""A running server for each test, keys for its clients, and the clients."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import asyncssh
import pytest
from blockbuster import BlockBuster

from nightdrop.config import Config
from nightdrop.sftp.hostkeys import load_host_keys
from nightdrop.storage.tree import Tree
from sftp.harness import ClientKey, MakeKey, MakeServer, Nightdrop, OpenSsh


@pytest.fixture(scope="session")
def host_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Host keys made once: a 4096-bit RSA key takes a second."""
    directory = tmp_path_factory.mktemp("keys") / "hostkeys"
    load_host_keys(directory)
    return directory


@pytest.fixture(scope="session")
def make_key(tmp_path_factory: pytest.TempPathFactory) -> MakeKey:
    """Make key pairs of clients."""
    directory = tmp_path_factory.mktemp("clients")

    def make(algorithm: str = "ssh-ed25519") -> ClientKey:
        key = asyncssh.generate_private_key(algorithm)
        path = directory / uuid4().hex
        path.touch(mode=0o600)
        key.write_private_key(path)
        return ClientKey(key, path)

    return make


@pytest.fixture(scope="session")
def apple_key(make_key: MakeKey) -> ClientKey:
    """Make the key of applegrove.org."""
    return make_key("ssh-ed25519")


@pytest.fixture(scope="session")
def birch_key(make_key: MakeKey) -> ClientKey:
    """Make the key of birchhill.org."""
    return make_key("ssh-ed25519")


@pytest.fixture(autouse=True)
def loop_is_never_blocked() -> Iterator[None]:
    """Fail whatever makes an event loop wait for a file, a lock or another program."""
    blockbuster = BlockBuster(scanned_modules=["nightdrop"])
    blockbuster.activate()
    yield
    blockbuster.deactivate()


@pytest.fixture
def make_config(tmp_path: Path, host_keys: Path) -> Callable[..., Config]:
    """Make the configuration of a server in a directory of the test's own."""

    def make(**changes: object) -> Config:
        settings: dict[str, object] = {
            "home": tmp_path / "home",
            "public_host": "drop.example.org",
            "sftp_port": 0,
            "seal_quiet_seconds": 0.3,
        }
        config = Config.model_validate(settings | changes)
        if not config.hostkeys_dir.exists():
            Tree(config.tree).prepare()
            shutil.copytree(host_keys, config.hostkeys_dir)
        return config

    return make


@pytest.fixture
def make_server(make_config: Callable[..., Config]) -> Iterator[MakeServer]:
    """Make servers, with settings of their own, that stop with the test."""
    made: list[Nightdrop] = []

    def make(**changes: object) -> Nightdrop:
        config = make_config(**changes)
        server = Nightdrop(config, Tree(config.tree))
        server.know()
        server.start()
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def server(make_server: MakeServer, apple_key: ClientKey, birch_key: ClientKey) -> Nightdrop:
    """Run a server that knows applegrove.org and birchhill.org."""
    server = make_server()
    server.add("applegrove.org", apple_key)
    server.add("birchhill.org", birch_key)
    return server


@pytest.fixture
def openssh(server: Nightdrop, apple_key: ClientKey) -> OpenSsh:
    """Return OpenSSH's `sftp`, as applegrove.org."""
    return OpenSsh(server, apple_key)
