# SPDX-License-Identifier: Apache-2.0
"""`nightdrop hostkey`: what clients can compare, and a key replaced with notice."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from nightdrop.cli.main import main
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.embedded_account import acting_as, server_account
from nightdrop.db.roles import ADMIN, DATABASE
from nightdrop.storage.hostkeys import HostKeyStore, KeyKind, kinds_in_use

ED25519 = KeyKind.ED25519
#: Who owns a home when root runs these tests.
NOBODY = 65534
OPENSSH, WINSCP = "SSH-2.0-OpenSSH_9.2p1 Debian-2", "SSH-2.0-WinSCP_release_6.3.5"


@dataclass(frozen=True)
class Ended:
    """What a command said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]


def environ(home: Path, **settings: str) -> dict[str, str]:
    settings = {"HOME": str(home), "PUBLIC_HOST": "drop.example.org", **settings}
    return {f"NIGHTDROP_{name}": value for name, value in settings.items()}


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run commands of `nightdrop` on a home, in the process of the test."""

    def run(*words: str, **settings: str) -> Ended:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ(home, **settings).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main(list(words))
        said = capsys.readouterr()
        return Ended(int(end.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def run_apart(home: Path) -> Run:
    """Run commands of `nightdrop` on a home that need a database of their own."""

    def run(*words: str) -> Ended:
        own = {name: value for name, value in os.environ.items() if "NIGHTDROP_" not in name}
        done = subprocess.run(
            [sys.executable, "-m", "nightdrop", *words],
            env=own | environ(home), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def store(home: Path) -> HostKeyStore:
    """The host keys of a home that was started before."""
    home.mkdir(mode=0o750, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(home, NOBODY, NOBODY)
    return make_keys(home)


def make_keys(home: Path) -> HostKeyStore:
    """Make the host keys as the server of this home does."""
    store = HostKeyStore(home / "districts" / "shared" / "hostkeys")
    with acting_as(server_account(home)):
        store.make(kinds_in_use(has_legacy=False))
    return store


def current(store: HostKeyStore, kind: KeyKind = ED25519) -> str:
    return store.find([kind])[0].current.public.fingerprint


def following(store: HostKeyStore, kind: KeyKind = ED25519) -> str | None:
    key = store.find([kind])[0].next
    return key.public.fingerprint if key else None


def keygen(*words: str | Path) -> list[str]:
    done = subprocess.run(["ssh-keygen", *words], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def listed(run: Run, **settings: str) -> list[dict[str, Any]]:
    done = run("hostkey", "list", "--json", **settings)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def refused(done: Ended) -> str:
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


# Showing.


def test_it_shows_what_ssh_keygen_shows(run: Run, store: HostKeyStore, tmp_path: Path) -> None:
    done = run("hostkey", "show")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    known = tmp_path / "known_hosts"
    known.write_text("".join(f"{line}\n" for line in lines if line.startswith("[drop")))
    host = "[drop.example.org]:2022"
    for method in ("sha256", "md5"):
        expected = keygen("-l", "-E", method, "-f", known)
        assert len(expected) == 2
        assert {line.replace(host, "drop.example.org") for line in expected} <= set(lines)
    assert keygen("-F", host, "-f", known)


def test_known_hosts_lines_name_the_port_where_it_is_not_the_usual_one(
    run: Run, store: HostKeyStore
) -> None:
    shown = run("hostkey", "show", SFTP_PORT="22").stdout
    assert "\ndrop.example.org ssh-ed25519 " in shown
    with acting_as(server_account(store._directory.parents[2])):
        store.make([KeyKind.ECDSA])
    shown = run("hostkey", "show", SFTP_PORT="22", SFTP_LEGACY_PORT="2222").stdout
    assert "\ndrop.example.org ssh-ed25519 " in shown
    assert "\n[drop.example.org]:2222 ssh-ed25519 " in shown
    assert "\n[drop.example.org]:2222 ecdsa-sha2-nistp256 " in shown
    assert "\ndrop.example.org ecdsa-sha2-nistp256 " not in shown


def test_sshfp_records_are_those_of_ssh_keygen(run: Run, store: HostKeyStore) -> None:
    done = run("hostkey", "show", "--sshfp")
    expected = [
        line
        for kind in kinds_in_use(has_legacy=False)
        for line in keygen("-r", "drop.example.org", "-f", store._directory / f"{kind}.pub")
        if line.split()[4] == "2"
    ]
    assert done.stdout.splitlines() == expected


def test_it_reaches_for_nothing_that_is_slow() -> None:
    asked = "import sys, nightdrop.cli.hostkey; print({'django', 'asyncssh'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("words", [["show"], ["list"], ["rotate"], ["retire", "SHA256:x"]])
def test_it_makes_no_keys_where_there_are_none(run: Run, home: Path, words: list[str]) -> None:
    line = refused(run("hostkey", *words))
    assert line.startswith(f"nightdrop: there are no host keys in {home}/districts/shared/hostkeys")
    assert not home.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_is_told_who_may(run: Run, store: HostKeyStore, home: Path) -> None:
    for directory in (home, home / "districts"):
        os.chown(directory, 0, 0)
        directory.chmod(0o755)
    (home / "districts" / "shared").chmod(0o700)
    # Root acts as who owns the home: as the system's own user, who has no right to these keys.
    line = refused(run("hostkey", "show"))
    assert line.startswith(f"nightdrop: you may not read {store._directory}; run this as the user")


# Replacing.


def test_next_keys_are_made_once(run: Run, store: HostKeyStore) -> None:
    old = current(store)
    done = run("hostkey", "rotate", "ed25519")
    made = following(store)
    assert made is not None
    assert done.stdout.splitlines() == [
        f"the next ed25519 key is {made}",
        f"next: nightdrop hostkey retire {old}",
    ]
    assert following(store, KeyKind.RSA) is None
    assert run("hostkey", "rotate").returncode == 0
    assert (current(store), following(store)) == (old, made)
    assert following(store, KeyKind.RSA) is not None
    assert store._directory.joinpath("ed25519.next").owner() == store._directory.owner()
    shown = run("hostkey", "show").stdout
    assert shown.index(old) < shown.index("The next keys") < shown.index(made)
    assert [(row["kind"], row["state"]) for row in listed(run)] == [
        ("ed25519", "current"), ("rsa", "current"), ("ed25519", "next"), ("rsa", "next"),
    ]  # fmt: skip


def test_keys_that_no_port_uses_are_not_made(run: Run, store: HostKeyStore) -> None:
    line = refused(run("hostkey", "rotate", "ecdsa"))
    assert "no port uses ecdsa keys; they are for NIGHTDROP_SFTP_LEGACY_PORT" in line
    assert run("hostkey", "rotate", "dsa").returncode == 2


def test_what_cannot_retire_is_told_why(run: Run, store: HostKeyStore) -> None:
    old = current(store)
    assert "no host key in use is SHA256:x" in refused(run("hostkey", "retire", "x"))
    assert "rotate ed25519" in refused(run("hostkey", "retire", old, "--now"))
    run("hostkey", "rotate", "ed25519")
    made = str(following(store))
    assert f"retire {old}" in refused(run("hostkey", "retire", made, "--now"))
    assert "no day is planned" in refused(run("hostkey", "retire", old, "--cancel"))
    for words in (["--now", "--cancel"], ["--on", "2020-01-01"], ["--on", "tomorrow"]):
        assert run("hostkey", "retire", old, *words).returncode == 2
    assert (current(store), following(store)) == (old, made)


def test_a_day_that_is_near_is_remembered(run: Run, store: HostKeyStore) -> None:
    old = current(store)
    with acting_as(server_account(store._directory.parents[2])):
        store.add_next(ED25519)
    today = datetime.now(UTC).date()
    for days, is_near in ((20, False), (6, True), (0, True)):
        day = today + timedelta(days=days)
        with acting_as(server_account(store._directory.parents[2])):
            store.plan(old, on=day)
        for words in (["show"], ["list"], ["list", "--json"]):
            done = run("hostkey", *words)
            assert (f"the ed25519 key retires on {day}" in done.stderr) == is_near
        assert json.loads(done.stdout)[0]["retires_on"] == str(day)


# With the database.


def audit(admin: "psycopg.Connection[Any]", username: str, kind: str, **facts: object) -> None:
    """Put an event of yesterday into the audit."""
    admin.execute(
        "INSERT INTO audit_event (id, district_id, at, kind, facts) SELECT %s, id,"
        " now() - interval '1 day', %s, %s FROM district WHERE username = %s",
        [uuid4(), kind, Jsonb(facts), username],
    )


@pytest.fixture
def admin(run_apart: Run, home: Path) -> Iterator["psycopg.Connection[Any]"]:
    """The database of a home with two districts, as its superuser sees it."""
    with acting_as(server_account(home)):
        home.mkdir(mode=0o750)
    with EmbeddedPostgres(home).attach() as server:
        for username in ("applegrove.org", "birchhill.org"):
            assert run_apart("district", "add", username).returncode == 0
        conninfo = server.conninfo(ADMIN, dbname=DATABASE)
        with psycopg.connect(conninfo, autocommit=True) as admin:
            yield admin


def test_a_key_retires_with_notice_to_those_who_would_be_surprised(
    run: Run, run_apart: Run, admin: "psycopg.Connection[Any]", home: Path
) -> None:
    store = make_keys(home)
    old = current(store)
    run("hostkey", "rotate", "ed25519")
    new = str(following(store))
    login = {"fingerprint": "SHA256:sis", "host_key": old}
    audit(admin, "applegrove.org", "login-accepted", client=WINSCP, **login)
    audit(admin, "birchhill.org", "login-accepted", client=OPENSSH, **login)
    lesson = {"client": OPENSSH, "fingerprint": "SHA256:sis", "host_keys": [new]}
    audit(admin, "birchhill.org", "host-key-learned", **lesson)

    day = datetime.now(UTC).date() + timedelta(days=30)
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    done = run_apart("hostkey", "retire", old.removeprefix("SHA256:"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{new} signs from {day} on",
        "clients that know the next key: 1",
        "clients that have to learn it or be told: 1 (districts: 1)",
        "DISTRICT        CLIENT                LAST LOGIN  ITS KEY",
        f"applegrove.org  WinSCP_release_6.3.5  {yesterday}  SHA256:sis",
    ]
    later = day + timedelta(days=60)
    assert f"from {later} on" in run_apart("hostkey", "retire", old, "--on", str(later)).stdout
    # Asking again who has yet to be told leaves the day as it is.
    assert f"from {later} on" in run_apart("hostkey", "retire", old).stdout
    assert run("hostkey", "retire", old, "--cancel").stdout == f"the ed25519 key {old} stays\n"
    assert listed(run)[0]["retires_on"] is None

    audit(admin, "applegrove.org", "login-accepted", client=WINSCP, fingerprint="SHA256:sis")
    assert run_apart("hostkey", "retire", old, "--now").stdout.splitlines() == [
        f"{new} signs from now on",
        "clients that know the next key: 1",
        "nobody has to be told",
    ]
    assert (current(store), following(store)) == (new, None)
    retired = listed(run)[-1]
    assert (retired["state"], retired["fingerprint"]) == ("retired", old)
