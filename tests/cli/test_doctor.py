# SPDX-License-Identifier: Apache-2.0
"""`doctor` finds what answers and what does not."""

import io
import json
import os
import re
import socket
import threading
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from cli.serving import Served
from nightdrop.cli import doctor
from nightdrop.cli.doctor import Answer, ask_all, run_doctor
from nightdrop.config import Config, load_config
from nightdrop.core.events import Event, EventKind
from nightdrop.db.embedded import EmbeddedPostgres
from nightdrop.storage.journal import Journal
from storage.small_disk import on_small_disk


def _config(home: Path, **settings: str) -> Config:
    return load_config({"NIGHTDROP_HOME": str(home), **settings})


def test_it_waits_until_every_part_answers(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    serving = served.start(database="is made")
    assert run_doctor(serving.config, wait_seconds=60, as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    ports = json.loads(serving.config.ports_file.read_text())
    assert lines.pop(2).startswith(("disk      ok     home and tree: ", "disk      warns  home"))
    assert lines == [
        "postgres  ok     version 18",
        f"tree      ok     {serving.config.tree}",
        "journal   ok     nothing waits",
        "quota     ok     0 of 0 districts use more than 90 % of theirs",
        f"sftp      ok     127.0.0.1 port {ports['sftp']}",
        f"web       ok     127.0.0.1 port {ports['web']}",
        "worker    ok     its heart beats",
    ]


def test_it_starts_nothing_and_says_what_to_do(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_doctor(_config(home), wait_seconds=None, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert [part["part"] for part in told["parts"]] == [
        *("postgres", "tree", "disk", "journal", "quota", "sftp", "web", "worker")
    ]
    assert not any(part["ok"] for part in told["parts"])
    assert {part["mend"] for part in told["parts"]} == {"start it with nightdrop serve"}
    assert not home.exists()


def test_where_a_balancer_on_this_machine_is_trusted_it_speaks_as_one(served: Served) -> None:
    trusted = {"NIGHTDROP_TRUSTED_PROXIES": "127.0.0.0/8"}
    serving = served.start(program="real_parts.py", environ=trusted, parts=["sftp"], stop_seconds=1)
    port = serving.port("sftp")
    config = _config(serving.config.home, **trusted)
    (sftp,) = (answer for answer in ask_all(config) if answer.part == "sftp")
    assert (sftp.is_well, sftp.found) == (True, f"127.0.0.1 port {port}")


def test_a_worker_whose_heart_stopped_is_found(served: Served) -> None:
    serving = served.start(database="is made", worker="ends", parts=["worker", "sftp"])
    serving.port("sftp")
    worker = ask_all(serving.config)[-1]
    assert (worker.is_well, worker.found) == (False, "no worker is there")


def test_a_database_that_was_not_migrated_is_told_apart(home: Path) -> None:
    config = _config(home)
    with EmbeddedPostgres(home).attach():
        worker = ask_all(config)[-1]
    assert (worker.found, worker.mend) == (
        "the database is not at this version",
        "run nightdrop migrate",
    )


def test_another_program_on_the_port_is_told_apart(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        mail = threading.Thread(target=_greet_as_mail, args=[other])
        mail.start()
        answers = ask_all(_config(home, NIGHTDROP_SFTP_PORT=str(port)))
        mail.join()
    sftp = next(one for one in answers if one.part == "sftp")
    assert sftp.found == f"what listens on 127.0.0.1 port {port} is no SSH server"
    assert "NIGHTDROP_SFTP_PORT" in sftp.mend


def _greet_as_mail(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"220 mail.example.org ESMTP\r\n")


def test_no_password_is_printed(home: Path) -> None:
    url = "postgresql://app:hidden@127.0.0.1:1/roster"
    postgres = ask_all(_config(home, NIGHTDROP_DATABASE_URL=url))[0]
    assert not postgres.is_well
    assert "hidden" not in postgres.found
    assert postgres.mend == "see that NIGHTDROP_DATABASE_URL is right"


def answer(config: Config, part: str) -> Answer:
    return next(one for one in ask_all(config) if one.part == part)


@pytest.mark.needs_host
def test_a_disk_that_will_soon_be_full_is_a_warning(tmp_path: Path) -> None:
    def work() -> None:
        config = _config(tmp_path / "home", NIGHTDROP_TREE=str(tmp_path / "home" / "tree"))
        config.tree.mkdir(parents=True)
        # Not the others: in there nobody may become another user.
        disk = doctor._ask("disk", doctor._ask_disk, config)
        assert disk.is_well
        assert re.fullmatch(r"home and tree: [0-9.]+ [MK]iB of 2 MiB free", disk.found)
        assert disk.mend == "make room: a full disk refuses every upload"
        with redirect_stdout(io.StringIO()) as said:
            doctor._print([disk], as_json=False)
        assert said.getvalue() == f"disk      warns  {disk.found}; {disk.mend}\n"

    on_small_disk(tmp_path, work, options="size=2m")


def test_a_journal_that_fills_up_is_a_warning(home: Path) -> None:
    config = _config(home, NIGHTDROP_JOURNAL_MAX_MIB="64")
    journal = Journal(config.journal_dir)
    at = datetime(2026, 11, 23, 2, 14, tzinfo=UTC)
    journal.append(Event(id=uuid4(), at=at, kind=EventKind.LOGIN_ACCEPTED))
    waiting = answer(config, "journal")
    assert re.fullmatch(r"\d+ bytes wait since 2026-11-23 02:14 UTC", waiting.found)
    assert (waiting.is_well, waiting.mend) == (True, "")
    (segment,) = config.journal_dir.glob("*.jsonl")
    os.truncate(segment, 60 * 2**20)
    waiting = answer(config, "journal")
    assert waiting.is_well
    assert waiting.mend.startswith("see that the database answers")
    journal.close()
