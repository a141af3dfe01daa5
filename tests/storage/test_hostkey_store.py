# SPDX-License-Identifier: Apache-2.0
"""Host keys on disk: the same for everybody, and whole at every moment."""

import os
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from nightdrop.core.keys import read_public_key
from nightdrop.storage import hostkey_files
from nightdrop.storage.hostkeys import (
    HostKey,
    HostKeyNotCurrent,
    HostKeyStore,
    HostKeyUnusable,
    KeyKind,
    KindKeys,
    NoHostKeys,
    NoNextHostKey,
    NothingPlanned,
    UnknownHostKey,
    kinds_in_use,
)
from storage.killing import every_kill, watched_calls

KINDS = (KeyKind.ED25519,)
ALL = kinds_in_use(has_legacy=True)
TODAY = date(2026, 11, 23)
TOMORROW = TODAY + timedelta(days=1)

ordinary = pytest.mark.parametrize("ground", ["ordinary user"], indirect=True)


@pytest.fixture(autouse=True)
def short_rsa(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make short RSA keys: a real one takes a second."""
    monkeypatch.setattr(hostkey_files, "_RSA_BITS", 2048)


@pytest.fixture
def directory(ground: Path) -> Path:
    """Where the keys are; nobody has made it yet."""
    return ground / "shared" / "hostkeys"


@pytest.fixture
def store(directory: Path) -> HostKeyStore:
    """A store that has an ed25519 key and nothing else."""
    store = HostKeyStore(directory)
    store.make(KINDS)
    return store


def only(store: HostKeyStore) -> KindKeys:
    """Return the keys of the one kind that there is."""
    (keys,) = store.find(KINDS)
    return keys


def name(key: HostKey | None) -> str | None:
    return key.public.fingerprint if key else None


def signing(store: HostKeyStore, *, today: date = TODAY) -> str:
    """Return the fingerprint of the key that signs, from its private half."""
    (keys,) = store.read(KINDS, today=today)
    assert keys.public.current.public.blob in public_line(keys.current)
    return keys.public.current.public.fingerprint


def public_line(private: bytes) -> bytes:
    """Return what a private key says of itself, in binary."""
    key = load_ssh_private_key(private, None)
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return read_public_key(line).blob


def files(directory: Path) -> set[str]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)) for path in found}


def test_keys_are_made_once_and_for_their_owner_alone(directory: Path) -> None:
    store = HostKeyStore(directory)
    store.make(ALL)
    first = store.find(ALL)
    assert [keys.current.kind for keys in first] == list(ALL)
    assert [keys.current.public.type for keys in first] == [
        "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256",
    ]  # fmt: skip
    store.make(ALL)
    assert HostKeyStore(directory).find(ALL) == first
    kinds = {"ed25519", "rsa", "ecdsa"}
    assert files(directory) == {"lock"} | kinds | {f"{kind}.pub" for kind in kinds}
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700


def test_an_rsa_key_has_4096_bits_unless_a_test_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    store = HostKeyStore(tmp_path)
    store.make([KeyKind.RSA])
    assert store.find([KeyKind.RSA])[0].current.public.bits == 4096


def test_the_modern_ports_need_no_ecdsa_key() -> None:
    assert kinds_in_use(has_legacy=False) == (KeyKind.ED25519, KeyKind.RSA)


def test_only_who_starts_makes_keys(directory: Path) -> None:
    store = HostKeyStore(directory)
    for look in (lambda: store.find(ALL), lambda: store.read(KINDS, today=TODAY), store.retired):
        with pytest.raises(NoHostKeys):
            look()
    assert not directory.exists()
    directory.mkdir(parents=True)
    with pytest.raises(NoHostKeys):
        store.find(ALL)
    with pytest.raises(NoHostKeys):
        store.read(KINDS, today=TODAY)
    with pytest.raises(NoHostKeys):
        store.add_next(KeyKind.ED25519)
    assert files(directory) == {"lock"}


# Keys from elsewhere.


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: PrivateFormat) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


@pytest.mark.parametrize(
    "form", [PrivateFormat.OpenSSH, PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8]
)
def test_a_key_of_another_server_serves_on(directory: Path, form: PrivateFormat) -> None:
    brought = rsa.generate_private_key(65537, 2048)
    content = pem(brought, form)
    directory.mkdir(parents=True)
    (directory / "rsa").write_bytes(content)
    store = HostKeyStore(directory)
    store.make([KeyKind.RSA])
    (keys,) = store.read([KeyKind.RSA], today=TODAY)
    line = brought.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert (directory / "rsa.pub").read_bytes().strip() == line
    assert keys.current == content


def test_a_public_line_that_was_there_is_left_alone(store: HostKeyStore, directory: Path) -> None:
    line = directory / "ed25519.pub"
    line.write_bytes(line.read_bytes().strip() + b" root@drop\n")
    os.utime(line, (1e9, 1e9))
    assert only(store).current.since.year == 2001
    assert line.read_bytes().endswith(b" root@drop\n")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "it holds no private key"),
        (b"", "it holds no private key"),
        (
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"secret")
            ),
            "it is protected by a passphrase",
        ),
        (
            pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.OpenSSH),
            "it holds a key of another kind",
        ),
    ],
)
def test_a_file_that_cannot_serve_is_named(
    store: HostKeyStore, directory: Path, content: bytes, why: str
) -> None:
    (directory / "ed25519").write_bytes(content)
    with pytest.raises(HostKeyUnusable) as refusal:
        store.find(KINDS)
    assert (refusal.value.path, refusal.value.why) == (directory / "ed25519", why)


# The next key, and its day.


def test_the_next_key_is_made_once_and_does_not_sign(store: HostKeyStore, directory: Path) -> None:
    old = only(store).current
    made = store.add_next(KeyKind.ED25519)
    assert store.add_next(KeyKind.ED25519) == made == only(store)
    assert made.current == old
    assert made.next is not None
    assert signing(store) == name(old)
    (keys,) = store.read(KINDS, today=TODAY)
    assert keys.next is not None
    assert public_line(keys.next) == made.next.public.blob
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_a_retired_key_leaves_its_public_half(store: HostKeyStore, directory: Path) -> None:
    old = only(store).current
    private = (directory / "ed25519").read_bytes()
    made = store.add_next(KeyKind.ED25519)
    after = store.retire(old.public.fingerprint)
    assert (name(after.current), after.next, after.retire_on) == (name(made.next), None, None)
    assert signing(store) == name(made.next)
    assert [name(key) for key in store.retired()] == [name(old)]
    assert [key.kind for key in store.retired()] == [KeyKind.ED25519]
    assert not [path for path in directory.rglob("*") if path.is_file()
                and path.read_bytes() == private]  # fmt: skip
    assert len(files(directory)) == 4
    assert (directory / "retired").stat().st_mode & 0o777 == 0o700


def test_keys_retire_one_after_another(store: HostKeyStore) -> None:
    gone = []
    for _ in range(3):
        old = only(store).current.public.fingerprint
        store.add_next(KeyKind.ED25519)
        store.retire(old)
        gone.append(old)
    assert {name(key) for key in store.retired()} == set(gone)
    assert signing(store) not in gone


def test_a_key_retires_on_its_day(store: HostKeyStore) -> None:
    old = only(store).current.public.fingerprint
    made = store.add_next(KeyKind.ED25519)
    assert store.plan(old, on=TOMORROW).retire_on == TOMORROW
    assert signing(store, today=TODAY) == old
    assert only(store).retire_on == TOMORROW
    assert signing(store, today=TOMORROW) == name(made.next)
    assert only(store).retire_on is None
    assert signing(store, today=TOMORROW + timedelta(days=99)) == name(made.next)


def test_a_plan_can_be_changed_and_taken_back(store: HostKeyStore) -> None:
    old = only(store).current.public.fingerprint
    store.add_next(KeyKind.ED25519)
    store.plan(old, on=TODAY)
    store.plan(old, on=TOMORROW)
    assert signing(store) == old
    assert store.cancel(old).retire_on is None
    assert signing(store, today=TOMORROW) == old
    with pytest.raises(NothingPlanned):
        store.cancel(old)


@pytest.mark.parametrize("plan", ["", "nonsense", "{old} 2026-13-01", "SHA256:other 2026-11-01"])
def test_a_plan_that_says_nothing_of_this_key_does_nothing(
    store: HostKeyStore, directory: Path, plan: str
) -> None:
    old = only(store).current.public.fingerprint
    store.add_next(KeyKind.ED25519)
    (directory / "ed25519.retire").write_text(plan.format(old=old))
    assert signing(store) == old
    assert only(store).retire_on is None


def test_what_cannot_retire_is_told_why(store: HostKeyStore) -> None:
    old = only(store).current.public.fingerprint
    with pytest.raises(UnknownHostKey):
        store.retire("SHA256:unknown")
    for act in (store.retire, store.cancel, lambda key: store.plan(key, on=TODAY)):
        with pytest.raises(NoNextHostKey):
            act(old)
    following = name(store.add_next(KeyKind.ED25519).next)
    assert following is not None
    with pytest.raises(HostKeyNotCurrent) as refusal:
        store.plan(following, on=TODAY)
    assert (refusal.value.kind, refusal.value.current) == (KeyKind.ED25519, old)
    assert signing(store) == old


def test_every_change_shows_and_reading_is_none(store: HostKeyStore, directory: Path) -> None:
    old = only(store).current.public.fingerprint
    changes: list[Callable[[], object]] = [
        lambda: store.add_next(KeyKind.ED25519),
        lambda: store.plan(old, on=TOMORROW),
        lambda: store.cancel(old),
        lambda: store.plan(old, on=TOMORROW),
        lambda: store.retire(old),
        lambda: (directory / "ed25519").write_bytes((directory / "ed25519").read_bytes()),
    ]
    for change in changes:
        before = store.mark()
        store.find(KINDS)
        store.retired()
        store.read(KINDS, today=TODAY)
        assert store.mark() == before
        change()
        assert store.mark() != before


# Several processes, and processes that are killed.


def at_once(work: Callable[[], object], *, processes: int = 4) -> None:
    """Do the same in several processes that are let go together."""
    let_go, go = os.pipe()
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            os.close(go)
            status = 1
            try:
                os.read(let_go, 1)
                work()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(let_go)
    os.close(go)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * processes


@ordinary
def test_nodes_that_start_at_once_get_the_same_keys(directory: Path) -> None:
    store = HostKeyStore(directory)
    seen = directory.parent.parent / "seen"

    def start() -> None:
        store.make(ALL)
        private = b"".join(keys.current for keys in store.read(ALL, today=TODAY))
        (seen / str(os.getpid())).write_bytes(private)

    for _ in range(5):
        seen.mkdir()
        at_once(start)
        assert len({path.read_bytes() for path in seen.iterdir()}) == 1
        shutil.rmtree(directory)
        shutil.rmtree(seen)


@ordinary
def test_the_day_comes_once_for_all_nodes(store: HostKeyStore) -> None:
    for _ in range(5):
        old = only(store).current.public.fingerprint
        following = name(store.add_next(KeyKind.ED25519).next)
        gone = len(store.retired())
        store.plan(old, on=TODAY)

        def poll(expected: str | None = following) -> None:
            assert signing(store) == expected

        at_once(poll)
        assert signing(store) == following
        assert len(store.retired()) == gone + 1


@ordinary
def test_two_operators_make_one_next_key(store: HostKeyStore, directory: Path) -> None:
    seen = directory.parent / "seen"
    seen.mkdir()

    def rotate() -> None:
        made = store.add_next(KeyKind.ED25519)
        (seen / str(os.getpid())).write_text(str(name(made.next)))

    at_once(rotate)
    assert {path.read_text() for path in seen.iterdir()} == {str(name(only(store).next))}


@ordinary
def test_a_kill_while_keys_are_made(directory: Path) -> None:
    store = HostKeyStore(directory)

    def afresh() -> None:
        shutil.rmtree(directory, ignore_errors=True)

    kills = 0
    for kill in every_kill(afresh, lambda: store.make([KeyKind.ED25519, KeyKind.ECDSA])):
        kills = kill
        before = made(directory)
        store.make([KeyKind.ED25519, KeyKind.ECDSA])
        after = store.find(ALL)
        assert len(after) == 2
        assert before <= {key.current.public.blob for key in after}
        assert files(directory) == {"lock", "ed25519", "ed25519.pub", "ecdsa", "ecdsa.pub"}
    assert kills > 20


def made(directory: Path) -> set[bytes]:
    """Return the keys whose private halves are in place: they must not be lost again."""
    kinds = (directory / kind for kind in KeyKind)
    return {public_line(path.read_bytes()) for path in kinds if path.exists()}


@ordinary
@pytest.mark.parametrize("way", ["by hand", "on its day"])
def test_a_kill_while_a_key_retires(store: HostKeyStore, directory: Path, way: str) -> None:
    """The old key or the new one, whole; and whoever comes next finishes the work."""
    old = only(store).current.public.fingerprint
    following = str(name(store.add_next(KeyKind.ED25519).next))
    store.plan(old, on=TODAY)
    kept = directory.with_name("kept")
    shutil.copytree(directory, kept)

    def afresh() -> None:
        shutil.rmtree(directory)
        shutil.copytree(kept, directory)

    def work() -> None:
        if way == "by hand":
            store.retire(old)
        else:
            store.read(KINDS, today=TODAY)

    signed = set()
    kills = 0
    for kill in every_kill(afresh, work):
        kills = kill
        keys = only(store)
        signed.add(signing(store, today=TODAY - timedelta(days=1)))
        if name(keys.current) == old:
            assert (name(keys.next), keys.retire_on) == (following, TODAY)
            assert store.retired() == ()
        else:
            assert (name(keys.current), keys.next, keys.retire_on) == (following, None, None)
        assert signing(store) == following
        assert [name(key) for key in store.retired()] == [old]
        assert files(directory) - {f"retired/{path.name}" for path in directory.glob("retired/*")} \
            == {"lock", "ed25519", "ed25519.pub"}  # fmt: skip
    assert signed == {old, following}
    assert kills > 15


@ordinary
def test_a_kill_while_the_next_key_is_made_and_planned(
    store: HostKeyStore, directory: Path
) -> None:
    old = only(store).current.public.fingerprint

    def afresh() -> None:
        for path in directory.glob("ed25519.*"):
            path.unlink()

    def work() -> None:
        store.add_next(KeyKind.ED25519)
        store.plan(old, on=TODAY)

    ends = set()
    for _ in every_kill(afresh, work):
        keys = only(store)
        assert name(keys.current) == old
        ends.add((keys.next is not None, keys.retire_on))
        work()
        assert only(store).retire_on == TODAY
        assert not list(directory.glob("*.new"))
    assert ends == {(False, None), (True, None), (True, TODAY)}


def test_what_takes_a_name_is_on_the_disk_before_and_the_name_after(store: HostKeyStore) -> None:
    old = only(store).current.public.fingerprint
    calls: list[str] = []
    with watched_calls(lambda name, _arguments: calls.append(name)):
        store.add_next(KeyKind.ED25519)
        store.plan(old, on=TODAY)
        store.retire(old)
    told = " ".join(calls)
    assert calls.count("rename") == 6
    assert told.count("write fsync close rename open fsync close") == 5
    # The one that is no new file: the next key, which takes the place of the old.
    assert told.count(" rename open fsync close") == 6


def test_a_full_disk_changes_nothing(
    store: HostKeyStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = only(store)

    def no_room(_descriptor: int, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", no_room)
    with pytest.raises(OSError, match="No space left"):
        store.add_next(KeyKind.ED25519)
    monkeypatch.undo()
    assert only(store) == before
    assert files(directory) == {"lock", "ed25519", "ed25519.pub"}
