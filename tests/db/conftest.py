# SPDX-License-Identifier: Apache-2.0
"""Homes for an embedded PostgreSQL of a test's own, and another user to act as."""

import os
import pickle
import pwd
import shutil
import signal
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.db.embedded_account import acting_as, server_account
from nightdrop.db.embedded_postmaster import find_postmaster
from nightdrop.db.roles import Role

AsOrdinaryUser = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def home() -> Iterator[Path]:
    """Make a home whose parents are open, as those of pytest's own directories are not."""
    with _scratch_home() as made:
        yield made


@pytest.fixture(scope="session")
def made_server() -> Iterator[EmbeddedPostgres]:
    """Make a cluster that was used once and is stopped, to be copied.

    With it everything has been imported that a child needs which is no longer root: Python
    itself may lie where only root comes.
    """
    with _scratch_home() as made:
        server = EmbeddedPostgres(made)
        with server.attach():
            psycopg.connect(server.conninfo(Role.APP)).close()
        yield server


@pytest.fixture
def server(home: Path, made_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """Return a server of the test's own, whose cluster is made and which does not run."""
    copied = EmbeddedPostgres(home)
    copied.places.prepare(server_account(home))
    copy = ["cp", "-a", f"{made_server.places.root}/.", str(copied.places.root)]
    subprocess.run(copy, check=True)
    copied.places.log.unlink()
    return copied


@pytest.fixture
def as_ordinary_user(made_server: EmbeddedPostgres) -> AsOrdinaryUser:
    """Return what runs a function as a user who is not root, in a process of its own."""
    if os.geteuid() != 0:
        return lambda call: call()
    return _run_as_nobody


@contextmanager
def _scratch_home() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="nightdrop-test-"))
    made.chmod(0o755)
    yield made
    for found in made.rglob("postmaster.pid"):
        _kill_server(found.parents[2])
    shutil.rmtree(made)


def _run_as_nobody(call: Callable[[], Any]) -> Any:  # noqa: ANN401 hands back what `call` does
    nobody = pwd.getpwnam("nobody")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            os.write(writer, _call_and_pack(call))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        result, trace = pickle.loads(pipe.read())  # noqa: S301 from our own child
    os.waitpid(child, 0)
    if trace is not None:
        pytest.fail(trace)
    return result


def _call_and_pack(call: Callable[[], Any]) -> bytes:
    try:
        return pickle.dumps((call(), None))
    except BaseException:  # noqa: BLE001 the parent fails with it
        return pickle.dumps((None, traceback.format_exc()))


def _kill_server(home: Path) -> None:
    server = EmbeddedPostgres(home)
    found = find_postmaster(server.places)
    if found is not None and not server.stop():
        with acting_as(server_account(home)):
            os.kill(found.pid, signal.SIGKILL)
