# SPDX-License-Identifier: Apache-2.0
"""A task that breaks tells where and what kind, and nothing of what it was working on."""

import logging
from collections.abc import Callable

import pytest
import structlog
from django.db import connection, connections

from fix_database import admin_connection
from fix_night import CLEAN, Nights, jobs
from nightdrop.core.delivery.machine import State
from nightdrop.jobs.silence import TaskBroke, silent

#: In the name of a file, which the operating system's error quotes.
NAME = "Wilhelmina-Quackenbush"


def everything_stored() -> str:
    """Return all that the queue's tables have."""
    with admin_connection(connection.settings_dict["NAME"]) as admin:
        return "\n".join(
            str(admin.execute(f"SELECT * FROM {table}".encode()).fetchall())  # noqa: S608
            for table in ("procrastinate_jobs", "procrastinate_events")
        )


def test_no_message_of_a_task_reaches_a_log_or_the_queue(
    nights: Nights,
    work: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    name = f"{NAME}.csv"
    delivery = nights.receive({**CLEAN, name: "Id\n1\n"})
    nights.upload_directory().chmod(0o700)
    (nights.upload_directory() / name).unlink()
    with pytest.raises(FileNotFoundError, match=NAME):
        nights.check(delivery)
    caplog.set_level(logging.DEBUG, logger="procrastinate")
    with caplog.at_level(logging.DEBUG), structlog.testing.capture_logs() as lines:
        work()
    told = caplog.text + str(lines) + str(capfd.readouterr())
    assert str(delivery) in told, "something was logged"
    assert NAME not in told
    assert NAME not in everything_stored()
    (line,) = [line for line in lines if line["event"] == "task broke"]
    assert (line["task"], line["error"]) == ("check_delivery", "FileNotFoundError")
    assert "TaskBroke: FileNotFoundError" in caplog.text


def test_a_task_that_breaks_is_tried_again(nights: Nights, work: Callable[[], None]) -> None:
    delivery = nights.receive(CLEAN)
    nights.upload_directory().chmod(0o700)
    (nights.upload_directory() / "students.csv").unlink()
    work()
    (job,) = jobs()
    assert job.status == "todo"
    assert job.scheduled_at is not None
    assert nights.delivery(delivery).state == State.CHECKING
    assert nights.delivery(delivery).attempts >= 1


def test_the_error_that_is_raised_has_no_way_back_to_the_first() -> None:
    @silent
    def task() -> None:
        raise ValueError(NAME)

    with pytest.raises(TaskBroke) as broke:
        task()
    assert str(broke.value) == "ValueError"
    assert broke.value.__cause__ is None
    assert broke.value.__context__ is None


def test_a_task_gives_its_connection_back(database: None) -> None:
    @silent
    def task() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        assert connection.connection is not None

    task()
    assert all(each.connection is None for each in connections.all())
