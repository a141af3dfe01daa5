# SPDX-License-Identifier: Apache-2.0
"""`serve` starts everything, starts again what ends, and stops everything."""

import json
import os
import pwd
import signal
import socket
import sys

import psycopg
import pytest

from cli.serving import Served, Serving, who_listens
from nightdrop.config import SERVICE_USER
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.embedded_postmaster import find_postmaster
from nightdrop.db.roles import Role

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up root's rights")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="a matter of Linux's kernel")


def _postgres(serving: Serving) -> EmbeddedPostgres:
    return EmbeddedPostgres(serving.config.home)


def test_everything_is_started_told_and_stopped(served: Served) -> None:
    serving = served.start()
    ports = {name: serving.port(name) for name in ("sftp", "web")}
    assert json.loads(serving.config.ports_file.read_text()) == ports
    assert serving.config.ports_file.stat().st_mode & 0o777 == 0o644
    assert who_listens(ports["sftp"])["pid"] != who_listens(ports["web"])["pid"]
    with psycopg.connect(_postgres(serving).conninfo(Role.APP)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert serving.stop() == 0
    assert find_postmaster(_postgres(serving).places) is None
    assert not serving.config.ports_file.exists()


def test_the_second_start_finds_what_the_first_made(served: Served) -> None:
    first = served.start()
    first.port("web")
    secret = first.config.secret_key_file.read_text()
    assert first.stop() == 0
    second = served.start()
    second.port("web")
    assert second.config.secret_key_file.read_text() == secret
    assert len(secret) > 80
    assert second.config.secret_key_file.stat().st_mode & 0o777 == 0o600


@needs_root
def test_parts_have_no_rights_of_root(served: Served) -> None:
    serving = served.start()
    user = pwd.getpwnam(SERVICE_USER)
    for name in ("sftp", "web"):
        told = who_listens(serving.port(name))
        assert told["ids"] == [user.pw_uid] * 3 + [user.pw_gid] * 3
        assert int(told["status"]["CapEff"], 16) == 0
        assert int(told["status"]["CapPrm"], 16) == 0


@needs_root
@needs_linux
def test_a_port_below_1024_gives_nobody_a_right(served: Served) -> None:
    port = _free_port_below_1024()
    serving = served.start(environ={"NIGHTDROP_SFTP_PORT": str(port)})
    assert serving.port("sftp") == port
    told = who_listens(port)
    assert told["ids"][0] == pwd.getpwnam(SERVICE_USER).pw_uid
    assert int(told["status"]["CapEff"], 16) == 0
    assert int(told["status"]["CapPrm"], 16) == 0


def _free_port_below_1024() -> int:
    for port in range(1023, 900, -1):
        with socket.socket() as candidate:
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.skip("every port is taken")


@needs_root
def test_an_ordinary_user_serves_with_rights_of_its_own(served: Served) -> None:
    serving = served.start(user="nobody")
    nobody = pwd.getpwnam("nobody").pw_uid
    assert who_listens(serving.port("sftp"))["ids"][:3] == [nobody] * 3
    assert serving.config.home.stat().st_uid == nobody
    assert serving.stop() == 0
    assert find_postmaster(_postgres(serving).places) is None


@pytest.mark.parametrize(("worker", "status"), [("ends", 0), ("crashes", 70), ("refuses later", 1)])
def test_a_part_is_started_again_on_any_end(served: Served, worker: str, status: int) -> None:
    serving = served.start(worker=worker)
    waits = [
        serving.wait_for("part-ended", ended="worker", status=status)["again_in_seconds"]
        for _ in range(4)
    ]
    assert waits == [0.02, 0.04, 0.08, 0.08]
    assert serving.stop() == 0
    assert "Wilhelmina" not in "".join(serving.said)


def test_a_killed_part_comes_back_on_its_port(served: Served) -> None:
    serving = served.start()
    port = serving.port("web")
    killed = who_listens(port)["pid"]
    serving.wait_for("part-ready", ready="web", pid=killed)
    os.kill(killed, signal.SIGKILL)
    serving.wait_for("part-ended", ended="web", status=-signal.SIGKILL)
    assert serving.wait_for("part-ready", ready="web")["pid"] == who_listens(port)["pid"] != killed
    assert json.loads(serving.config.ports_file.read_text())["web"] == port


def test_a_killed_postgres_comes_back(served: Served) -> None:
    serving = served.start()
    serving.port("web")
    found = find_postmaster(_postgres(serving).places)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    serving.wait_for("postgres-started")
    with psycopg.connect(_postgres(serving).conninfo(Role.APP)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert serving.stop() == 0


def test_a_part_that_refuses_ends_the_start(served: Served) -> None:
    serving = served.start(sftp="refuses")
    assert serving.end() == 1
    assert "nightdrop: sftp has no keys\n" in serving.said
    assert find_postmaster(_postgres(serving).places) is None


def test_a_part_that_does_not_end_is_killed(served: Served) -> None:
    serving = served.start(worker="is stubborn", grace_seconds=0.1, parts=["worker", "web"])
    serving.port("web")
    assert serving.stop() == 0


def test_a_second_signal_ends_it_at_once(served: Served) -> None:
    serving = served.start(worker="is stubborn", grace_seconds=100, parts=["worker", "web"])
    web = who_listens(serving.port("web"))["pid"]
    serving.process.send_signal(signal.SIGTERM)
    # The web part is gone, and reaped: the first signal was taken.
    while _exists(web):
        pass
    serving.process.send_signal(signal.SIGINT)
    assert serving.end() == 0


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@needs_linux
def test_parts_end_with_a_killed_supervisor(served: Served) -> None:
    serving = served.start()
    port = serving.port("sftp")
    serving.process.kill()
    serving.end()
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                break
    again = served.start(environ={"NIGHTDROP_SFTP_PORT": str(port)})
    assert again.port("sftp") == port
    assert again.stop() == 0


def test_a_second_serve_in_one_home_is_refused(served: Served) -> None:
    first = served.start()
    first.port("web")
    second = served.start()
    assert second.end() == 1
    assert any(f"nightdrop sftp runs already in {served.home}" in line for line in second.said), (
        second.said
    )
    assert first.stop() == 0


def test_a_refusal_of_the_database_ends_the_start(served: Served) -> None:
    serving = served.start(database="is refused")
    assert serving.end() == 1
    assert any("nightdrop migrate" in line for line in serving.said)


def test_a_database_elsewhere_that_is_away_stops_no_upload(served: Served) -> None:
    url = "postgresql://nightdrop_app@db.example.org/nightdrop"
    serving = served.start(database="is away", environ={"NIGHTDROP_DATABASE_URL": url})
    serving.wait_for("database-away")
    assert who_listens(serving.port("sftp"))["pid"]
    assert not serving.config.home.joinpath("postgres").exists()
    assert serving.stop() == 0
    assert "no route to host" not in "".join(serving.said)
