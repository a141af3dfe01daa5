# SPDX-License-Identifier: Apache-2.0
"""Host keys: made once, for everybody, for their owner's eyes only."""

import multiprocessing
from pathlib import Path

import asyncssh
import pytest

from nightdrop.sftp import hostkeys
from nightdrop.sftp.hostkeys import HostKeys, load_host_keys


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make small RSA keys: a real one takes a second."""
    monkeypatch.setattr(hostkeys, "_KINDS", {"ed25519": ("ssh-ed25519", None),
                                             "rsa": ("ssh-rsa", 2048)})  # fmt: skip


def test_keys_stay_the_same_and_private(quick: None, tmp_path: Path) -> None:
    directory = tmp_path / "shared" / "hostkeys"
    first, again = load_host_keys(directory), load_host_keys(directory)
    assert [key.public_data for key in first.keys] == [key.public_data for key in again.keys]
    assert [key.algorithm for key in first.keys] == [b"ssh-ed25519", b"ssh-rsa"]
    assert directory.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    assert modes == dict.fromkeys(("ed25519", "ed25519.pub", "lock", "rsa", "rsa.pub"), 0o600)
    public = asyncssh.read_public_key(directory / "rsa.pub")
    assert public.public_data == first.keys[1].public_data


def test_a_missing_key_is_made_and_the_other_kept(quick: None, tmp_path: Path) -> None:
    first = load_host_keys(tmp_path)
    (tmp_path / "ed25519").unlink()
    again = load_host_keys(tmp_path)
    assert again.keys[0].public_data != first.keys[0].public_data
    assert again.keys[1].public_data == first.keys[1].public_data


def test_a_kill_while_a_key_is_written_leaves_none(quick: None, tmp_path: Path) -> None:
    (tmp_path / "ed25519.new").write_text("half of a k")
    assert load_host_keys(tmp_path).keys[0].algorithm == b"ssh-ed25519"


def test_nodes_that_start_at_once_get_the_same_keys(quick: None, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    nodes = [context.Process(target=load_host_keys, args=(tmp_path,)) for _ in range(4)]
    for node in nodes:
        node.start()
    for node in nodes:
        node.join()
    assert {node.exitcode for node in nodes} == {0}
    assert not list(tmp_path.glob("*.new"))


def test_rsa_signs_with_what_was_negotiated_and_never_with_sha1(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    signers = HostKeys((key,)).signers()
    assert list(signers) == [b"rsa-sha2-512", b"rsa-sha2-256"]
    for name, signer in signers.items():
        assert name in signer.sign(b"data")[:20]
    (prover,) = HostKeys((key,)).provers().values()
    assert b"rsa-sha2-512" in prover.sign(b"data")[:20]
