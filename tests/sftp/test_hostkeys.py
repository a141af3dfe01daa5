# SPDX-License-Identifier: Apache-2.0
"""Signing with the host keys on disk, and noticing that they were changed."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nightdrop.sftp.algorithms import LEGACY, MODERN
from nightdrop.sftp.hostkeys import HostKeyRing, HostKeys, load_host_keys
from nightdrop.storage import hostkey_files
from nightdrop.storage.hostkeys import HostKeyStore, HostKeyUnusable, KeyKind, NoHostKeys

NOW = datetime(2026, 11, 23, 2, 14, tzinfo=UTC)
KINDS = (KeyKind.ED25519,)


@pytest.fixture(autouse=True)
def short_rsa(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make short RSA keys: a real one takes a second."""
    monkeypatch.setattr(hostkey_files, "_RSA_BITS", 2048)


@pytest.fixture
def ring(tmp_path: Path) -> HostKeyRing:
    """Hold an ed25519 key that was just made."""
    ring = HostKeyRing(tmp_path / "hostkeys", KINDS)
    ring.load(now=NOW)
    return ring


@pytest.fixture
def store(tmp_path: Path) -> HostKeyStore:
    """Return what others use to change the keys."""
    return HostKeyStore(tmp_path / "hostkeys")


def current(store: HostKeyStore) -> str:
    (keys,) = store.find(KINDS)
    return keys.current.public.fingerprint


def prints(keys: HostKeys | None) -> tuple[list[str], list[str]] | None:
    """Return the fingerprints of what signs and of what will."""
    if keys is None:
        return None
    return (
        [key.get_fingerprint() for key in keys.keys],
        [key.get_fingerprint() for key in keys.next_keys],
    )


def test_keys_stay_the_same(tmp_path: Path) -> None:
    first, again = load_host_keys(tmp_path), load_host_keys(tmp_path)
    assert [key.public_data for key in first.keys] == [key.public_data for key in again.keys]
    assert [key.algorithm for key in first.keys] == [b"ssh-ed25519", b"ssh-rsa"]
    public = asyncssh.read_public_key(tmp_path / "rsa.pub")
    assert public.public_data == first.keys[1].public_data


def test_a_missing_key_is_made_and_the_other_kept(tmp_path: Path) -> None:
    first = load_host_keys(tmp_path)
    (tmp_path / "ed25519").unlink()
    again = load_host_keys(tmp_path)
    assert again.keys[0].public_data != first.keys[0].public_data
    assert again.keys[1].public_data == first.keys[1].public_data


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ssh-rsa"])
def test_keys_of_earlier_versions_and_other_servers_serve_on(
    tmp_path: Path, algorithm: str
) -> None:
    key = asyncssh.generate_private_key(algorithm)
    name = algorithm.removeprefix("ssh-")
    key.write_private_key(tmp_path / name)
    key.write_public_key(tmp_path / f"{name}.pub")
    before = (tmp_path / f"{name}.pub").read_bytes()
    loaded = load_host_keys(tmp_path, kinds=[KeyKind(name)])
    assert [found.public_data for found in loaded.keys] == [key.public_data]
    assert (tmp_path / f"{name}.pub").read_bytes() == before


def test_halves_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    good = rsa.generate_private_key(65537, 2048).private_numbers()
    bad = rsa.RSAPrivateNumbers(
        good.p, good.q, good.d + 2, good.dmp1 + 2, good.dmq1, good.iqmp, good.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    content = bad.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (tmp_path / "rsa").write_bytes(content)
    with pytest.raises(HostKeyUnusable) as refusal:
        load_host_keys(tmp_path, kinds=[KeyKind.RSA])
    assert (refusal.value.path, refusal.value.why) == (tmp_path / "rsa", "its halves do not fit")


def test_rsa_signs_with_what_was_negotiated_and_never_with_sha1() -> None:
    key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    signers = HostKeys((key,)).signers()
    assert list(signers) == [b"rsa-sha2-512", b"rsa-sha2-256"]
    for name, signer in signers.items():
        assert name in signer.sign(b"data")[:20]
    (prover,) = HostKeys((key,)).provers().values()
    assert b"rsa-sha2-512" in prover.sign(b"data")[:20]


def test_the_next_keys_are_proved_and_do_not_sign() -> None:
    old, new = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    keys = HostKeys((old,), (new,))
    assert [signer.public_data for signer in keys.signers().values()] == [old.public_data]
    assert list(keys.provers()) == [old.public_data, new.public_data]
    assert keys.fingerprints() == (old.get_fingerprint(),)


def test_each_port_shows_the_keys_of_its_profile(tmp_path: Path) -> None:
    keys = load_host_keys(tmp_path, kinds=LEGACY.host_keys)
    store = HostKeyStore(tmp_path)
    for kind in KeyKind:
        store.add_next(kind)
    keys = load_host_keys(tmp_path, kinds=LEGACY.host_keys)
    names = {"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"}
    for profile, expected in ((MODERN, names - {"ecdsa-sha2-nistp256"}), (LEGACY, names)):
        shown = keys.of(profile.host_keys)
        assert {key.get_algorithm() for key in shown.keys} == expected
        assert {key.get_algorithm() for key in shown.next_keys} == expected


# Noticing changes.


def test_nothing_is_read_again_while_nothing_changes(ring: HostKeyRing) -> None:
    assert [ring.look(now=NOW) for _ in range(3)] == [None, None, None]


def test_a_next_key_and_its_turn_are_noticed(ring: HostKeyRing, store: HostKeyStore) -> None:
    old = current(store)
    store.add_next(KeyKind.ED25519)
    first = prints(ring.look(now=NOW))
    assert first is not None
    assert first[0] == [old]
    (new,) = first[1]
    assert ring.look(now=NOW) is None
    store.retire(old)
    assert prints(ring.look(now=NOW)) == ([new], [])
    assert ring.look(now=NOW) is None


def test_whoever_looks_on_the_day_makes_the_change(ring: HostKeyRing, store: HostKeyStore) -> None:
    old = current(store)
    store.add_next(KeyKind.ED25519)
    store.plan(old, on=(NOW + timedelta(days=2)).date())
    found = prints(ring.look(now=NOW))
    assert found is not None
    assert found[0] == [old]
    assert ring.look(now=NOW + timedelta(days=1)) is None
    late = HostKeyRing(store._directory, KINDS)
    late.load(now=NOW + timedelta(days=1))
    day = NOW.replace(hour=0) + timedelta(days=2)
    assert prints(ring.look(now=day)) == (found[1], [])
    assert current(store) == found[1][0]
    assert prints(late.look(now=day)) == (found[1], [])
    # What the change itself changed is looked at once more, and then no more.
    ring.look(now=day)
    assert ring.look(now=day) is None


def test_a_start_after_the_day_makes_the_change(store: HostKeyStore, ring: HostKeyRing) -> None:
    old = current(store)
    store.add_next(KeyKind.ED25519)
    store.plan(old, on=NOW.date())
    started = HostKeyRing(store._directory, KINDS).load(now=NOW)
    assert old not in started.fingerprints()


@pytest.mark.parametrize("loss", ["all", "the tree", "one"])
def test_keys_that_vanish_are_not_made_anew(
    ring: HostKeyRing, store: HostKeyStore, tmp_path: Path, loss: str
) -> None:
    """A shared tree that is not mounted must not show clients another key."""
    directory = tmp_path / "hostkeys"
    kept = shutil.copytree(directory, tmp_path / "kept")
    if loss == "one":
        (directory / "ed25519").unlink()
    else:
        shutil.rmtree(directory)
    if loss == "all":
        directory.mkdir()
    for _ in range(2):
        with pytest.raises((NoHostKeys, FileNotFoundError)):
            ring.look(now=NOW)
    assert not (directory / "ed25519").exists()
    shutil.rmtree(directory, ignore_errors=True)
    os.rename(kept, directory)  # noqa: PTH104 - as a mount brings it back
    found = ring.look(now=NOW)
    assert found is not None
    assert found.fingerprints() == (current(store),)


def test_a_damaged_file_is_told_again_and_again_until_it_is_mended(
    ring: HostKeyRing, store: HostKeyStore, tmp_path: Path
) -> None:
    file = tmp_path / "hostkeys" / "ed25519"
    content = file.read_bytes()
    file.write_bytes(content[:100])
    for _ in range(2):
        with pytest.raises(HostKeyUnusable):
            ring.look(now=NOW)
    file.write_bytes(content)
    assert ring.look(now=NOW) is not None
    assert ring.look(now=NOW) is None
