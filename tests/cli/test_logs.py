# SPDX-License-Identifier: Apache-2.0
"""Log lines: one form for our own and for libraries, and no values in them."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog

from nightdrop.cli.logs import configure_logging
from nightdrop.config import Config, LogFormat
from nightdrop.core.errors import Refusal


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _configure(tmp_path: Path, log_format: LogFormat = LogFormat.JSON) -> None:
    configure_logging(Config(home=tmp_path, log_format=log_format), "sftp")


def _only_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (text,) = capsys.readouterr().err.splitlines()
    line: dict[str, Any] = json.loads(text)
    return line


def test_a_line_has_its_facts_part_level_and_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _configure(tmp_path)
    structlog.get_logger().info("sealed", district="0e0e")
    line = _only_line(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "sealed", "district": "0e0e", "part": "sftp", "level": "info"}


def test_a_librarys_line_looks_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _configure(tmp_path)
    logging.getLogger("granian").warning("a worker of %s", "granian")
    line = _only_line(capsys)
    assert line["event"] == "a worker of granian"
    assert (line["part"], line["level"], line["logger"]) == ("sftp", "warning", "granian")


def test_chatter_of_libraries_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _configure(tmp_path)
    logging.getLogger("asyncssh").info("[conn=0] Accepted SSH client connection")
    logging.getLogger("procrastinate.worker").info("Starting job check_delivery[3](...)")
    assert capsys.readouterr().err == ""


class _Nothing(Refusal):
    code = "no-such-thing"


def test_an_exception_is_told_without_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _configure(tmp_path)
    try:
        try:
            raise psycopg.errors.UniqueViolation("Key (name)=(Wilhelmina) already exists.")
        except psycopg.Error as error:
            raise _Nothing("Wilhelmina") from error
    except _Nothing:
        structlog.get_logger().exception("failed")
    line = _only_line(capsys)
    assert "Wilhelmina" not in json.dumps(line)
    last, first = line["exception"]
    assert last["kind"].endswith("_Nothing")
    assert last["code"] == "no-such-thing"
    assert first["kind"] == "psycopg.errors.UniqueViolation"
    assert first["sqlstate"] == "23505"
    assert "test_logs.py" in first["at"][0]


def test_an_exception_of_a_library_is_told_so_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _configure(tmp_path)
    try:
        (tmp_path / "Wilhelmina.csv").read_bytes()
    except FileNotFoundError:
        logging.getLogger("granian").exception("failed")
    line = _only_line(capsys)
    assert "Wilhelmina" not in json.dumps(line)
    assert line["exception"][0]["strerror"] == "No such file or directory"


def test_people_get_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _configure(tmp_path, LogFormat.TEXT)
    structlog.get_logger().info("sealed", district="0e0e")
    said = capsys.readouterr().err
    assert "sealed" in said
    assert "district=0e0e" in said
    assert "part=sftp" in said


def test_auto_means_json_where_no_terminal_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _configure(tmp_path, LogFormat.AUTO)
    structlog.get_logger().info("sealed")
    assert _only_line(capsys)["event"] == "sealed"


def test_a_process_for_another_part_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _configure(tmp_path)
    logger = structlog.get_logger()
    logger.info("before")
    configure_logging(Config(home=tmp_path, log_format=LogFormat.JSON), "web")
    capsys.readouterr()
    logger.info("after")
    assert _only_line(capsys)["part"] == "web"
