# SPDX-License-Identifier: Apache-2.0
"""The embedded PostgreSQL: made, shared, stopped by the last, and brought back from anything."""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
import pytest

from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.embedded_postmaster import find_postmaster
from nightdrop.db.embedded_refusals import OtherMajor, PostgresFailed
from nightdrop.db.roles import ADMIN, Role

_PR_SET_CHILD_SUBREAPER = 36

_HOLDER = """
import sys
from pathlib import Path
from nightdrop.db.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])).attach() as server:
    print("holding", flush=True)
    sys.stdin.read()
"""


def _pid(server: EmbeddedPostgres) -> int:
    found = find_postmaster(server.places)
    assert found is not None
    return found.pid


def _whoami(server: EmbeddedPostgres, role: str = Role.APP) -> str:
    with psycopg.connect(server.conninfo(role)) as connection:
        row = connection.execute("SELECT current_user || '@' || current_database()").fetchone()
    assert row is not None
    return str(row[0])


def _kill(server: EmbeddedPostgres) -> None:
    os.kill(_pid(server), signal.SIGKILL)
    while find_postmaster(server.places) is not None:
        pass


def _starts(server: EmbeddedPostgres) -> int:
    return server.places.log.read_text().count("starting PostgreSQL 18")


@contextmanager
def _holder(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def test_it_starts_once_and_stops_with_its_last_user(server: EmbeddedPostgres) -> None:
    with server.attach():
        assert _whoami(server) == "nightdrop_app@nightdrop"
        first = _pid(server)
        assert server.ensure() is False
        with EmbeddedPostgres(server.places.home).attach():
            assert _pid(server) == first
        assert _pid(server) == first
        assert server.stop() is False
    assert find_postmaster(server.places) is None
    with server.attach():
        assert _whoami(server, Role.OWNER) == "nightdrop_owner@nightdrop"
    assert server.stop() is True
    assert _starts(server) == 2


def test_a_failing_user_leaves_no_server_behind(server: EmbeddedPostgres) -> None:
    with pytest.raises(ZeroDivisionError), server.attach():
        _ = 1 / 0
    assert find_postmaster(server.places) is None


def test_two_processes_make_one_cluster(home: Path) -> None:
    server = EmbeddedPostgres(home)
    with _holder(server.places.home) as one, _holder(server.places.home) as other:
        assert _line(one.stdout) == "holding"
        assert _line(other.stdout) == "holding"
        assert _whoami(server) == "nightdrop_app@nightdrop"
        assert _starts(server) == 1
        one.communicate()
        assert _whoami(server) == "nightdrop_app@nightdrop"
        other.communicate()
    assert find_postmaster(server.places) is None
    assert one.returncode == other.returncode == 0


def test_a_killed_user_counts_no_more(server: EmbeddedPostgres) -> None:
    with _holder(server.places.home) as holder:
        assert _line(holder.stdout) == "holding"
        first = _pid(server)
        holder.kill()
        holder.communicate()
    assert _pid(server) == first, "a server outlives a killed user"
    with server.attach():
        assert _pid(server) == first
    assert find_postmaster(server.places) is None


def test_a_killed_server_comes_back_with_its_rows(server: EmbeddedPostgres) -> None:
    with server.attach():
        with psycopg.connect(server.conninfo(Role.OWNER)) as owner:
            owner.execute("CREATE TABLE kept AS SELECT 1 AS one")
        _kill(server)
        assert server.ensure() is True
        with psycopg.connect(server.conninfo(Role.OWNER)) as owner:
            assert owner.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_backend_that_outlives_its_server_does_not_stop_the_next(
    server: EmbeddedPostgres,
) -> None:
    """Its shared memory is the only sign of it, which is why the pid file is not removed."""
    with server.attach(), psycopg.connect(server.conninfo(ADMIN)) as busy:
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000)")
        while _state_of(server, busy.info.backend_pid) != "active":
            pass
        _kill(server)
        assert server.ensure() is True
        assert _whoami(server) == "nightdrop_app@nightdrop"
        assert "shared memory block" in server.places.log.read_text()
        with pytest.raises(psycopg.OperationalError):
            _read_until_closed(busy)
        busy.close()


def _read_until_closed(connection: psycopg.Connection) -> None:
    while select.select([connection], [], []):
        connection.pgconn.consume_input()


def _state_of(server: EmbeddedPostgres, backend: int) -> str | None:
    with psycopg.connect(server.conninfo(ADMIN)) as connection:
        question = "SELECT state FROM pg_stat_activity WHERE pid = %s"
        row = connection.execute(question, [backend]).fetchone()
    return row[0] if row else None


def test_a_pid_that_now_belongs_to_another_process_does_not_matter(
    server: EmbeddedPostgres,
) -> None:
    with server.attach():
        _kill(server)
        pid_file = server.places.data / "postmaster.pid"
        _, *rest = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(os.getpid()), *rest]) + "\n")
        lock = server.places.socket.with_name(".s.PGSQL.5432.lock")
        lock.write_text(f"{os.getpid()}\n")
        assert server.ensure() is True
        assert _whoami(server) == "nightdrop_app@nightdrop"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
def test_a_server_that_nobody_reaps_does_not_matter(server: EmbeddedPostgres) -> None:
    """In a container without init a killed server stays a zombie, and its pid exists."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        with server.attach():
            zombie = _pid(server)
            os.kill(zombie, signal.SIGKILL)
            os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
            assert server.ensure() is True
            assert Path(f"/proc/{zombie}/stat").exists(), "the zombie is still there"
            assert _whoami(server) == "nightdrop_app@nightdrop"
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        os.waitpid(zombie, 0)
    assert find_postmaster(server.places) is None


def test_a_crash_between_cluster_and_roles_is_made_good(server: EmbeddedPostgres) -> None:
    with server.attach(), psycopg.connect(server.conninfo(ADMIN, dbname="postgres")) as admin:
        admin.autocommit = True
        admin.execute("DROP DATABASE nightdrop")
        admin.execute("DROP ROLE nightdrop_operator")
        (server.places.data / "nightdrop.roles").unlink()
    with server.attach():
        assert _whoami(server, Role.OPERATOR) == "nightdrop_operator@nightdrop"


def test_half_a_cluster_is_never_used(server: EmbeddedPostgres) -> None:
    with server.attach():
        pass
    half = server.places.data.rename(server.places.root / "new")
    half.joinpath("global", "pg_control").unlink()
    with server.attach():
        assert _whoami(server) == "nightdrop_app@nightdrop"
    assert not half.exists()


def test_data_of_another_major_version_is_left_alone(server: EmbeddedPostgres) -> None:
    with server.attach():
        pass
    version = server.places.data / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(OtherMajor) as refused, server.attach():
        pass
    assert (refused.value.found, refused.value.wanted) == ("15", "18")
    assert refused.value.directory == server.places.data
    assert version.read_text() == "15\n"


def test_a_start_that_fails_says_what_postgresql_said(server: EmbeddedPostgres) -> None:
    with server.attach():
        pass
    with server.places.data.joinpath("postgresql.conf").open("a") as settings:
        settings.write("shared_buffers = plenty\n")
    with pytest.raises(PostgresFailed, match=r"postgresql\.conf") as refused, server.attach():
        pass
    assert refused.value.step == "start"
    assert refused.value.log == server.places.log


def test_a_sysadmins_own_settings_win(server: EmbeddedPostgres) -> None:
    with server.attach():
        pass
    with server.places.data.joinpath("postgresql.conf").open("a") as settings:
        settings.write("max_wal_size = '2GB'\n")
    with server.attach(), psycopg.connect(server.conninfo(Role.APP)) as connection:
        assert connection.execute("SHOW max_wal_size").fetchone() == ("2GB",)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_no_role_is_above_row_level_security(server: EmbeddedPostgres) -> None:
    with server.attach(), psycopg.connect(server.conninfo(ADMIN)) as admin:
        rows = admin.execute(
            "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb"
            " FROM pg_roles WHERE rolname LIKE 'nightdrop%' ORDER BY 1"
        ).fetchall()
        owner = admin.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'nightdrop'"
        ).fetchone()
    assert rows == [
        ("nightdrop_admin", True),
        ("nightdrop_app", False),
        ("nightdrop_operator", False),
        ("nightdrop_owner", False),
    ]
    assert owner == ("nightdrop_owner",)


def test_the_log_has_no_value_of_a_row(server: EmbeddedPostgres) -> None:
    with server.attach(), psycopg.connect(server.conninfo(Role.OWNER)) as owner:
        owner.execute("CREATE TEMPORARY TABLE pupil (name text PRIMARY KEY)")
        owner.execute("INSERT INTO pupil VALUES ('Wilhelmina')")
        with pytest.raises(psycopg.errors.UniqueViolation), owner.transaction():
            owner.execute("INSERT INTO pupil VALUES ('Wilhelmina')")
        with pytest.raises(psycopg.errors.InvalidDatetimeFormat), owner.transaction():
            owner.execute("SELECT 'Wilhelmina'::date")
    assert "Wilhelmina" not in server.places.log.read_text()
