# SPDX-License-Identifier: Apache-2.0
"""`nightdrop penalty` on the ledger of a running server."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nightdrop.cli.main import main
from nightdrop.core.penalties import Strikes
from nightdrop.storage.ledger import Ledger

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; return its exit code and what it says."""
    monkeypatch.setenv("NIGHTDROP_HOME", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["penalty", *arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of a server in which two sources wait, one of them for two names."""
    with closing(Ledger.join(tmp_path / "run" / "ledger")) as ledger:
        penalise(ledger, "192.0.2.7", "", until=NOW + HOUR / 2)
        penalise(ledger, "192.0.2.7", "applegrove.org", until=NOW + HOUR / 4)
        penalise(ledger, "2001:db8:0:1::/64", "applegrove.org", until=NOW + HOUR / 3)
        # Failed, and need not wait, or no longer.
        penalise(ledger, "192.0.2.8", "applegrove.org", until=NOW - HOUR)
        ledger.strikes.change("192.0.2.9", "root", lambda _: Strikes(3, failed_at=NOW))
        yield ledger


def penalise(ledger: Ledger, source: str, name: str, *, until: datetime) -> None:
    ledger.strikes.change(source, name, lambda _: Strikes(12, failed_at=NOW, until=until))


def remaining(ledger: Ledger) -> set[tuple[str, str]]:
    return {(one.source, one.name) for one in ledger.strikes.list_all()}


def test_it_lists_who_must_wait(run: Run, ledger: Ledger) -> None:
    code, out, _ = run("list")
    assert code == 0
    heading, *rows = [line.split() for line in out.splitlines()]
    assert heading == ["SOURCE", "USER", "NAME", "FAILURES", "UNTIL"]
    assert rows == [
        ["192.0.2.7", "(any)", "12", *f"{NOW + HOUR / 2:%Y-%m-%d %H:%M:%S}".split()],
        ["2001:db8:0:1::/64", "applegrove.org", "12",
         *f"{NOW + HOUR / 3:%Y-%m-%d %H:%M:%S}".split()],
        ["192.0.2.7", "applegrove.org", "12", *f"{NOW + HOUR / 4:%Y-%m-%d %H:%M:%S}".split()],
    ]  # fmt: skip


def test_scripts_get_json(run: Run, ledger: Ledger) -> None:
    code, out, _ = run("list", "--json")
    assert code == 0
    assert json.loads(out)[:2] == [
        {"source": "192.0.2.7", "username": None, "failures": 12,
         "until": (NOW + HOUR / 2).isoformat()},
        {"source": "2001:db8:0:1::/64", "username": "applegrove.org", "failures": 12,
         "until": (NOW + HOUR / 3).isoformat()},
    ]  # fmt: skip


def test_where_no_server_has_run_nobody_waits(run: Run, tmp_path: Path) -> None:
    assert run("list", "--json") == (0, "[]\n", "")
    assert run("clear", "--all") == (0, "0 lifted\n", "")
    assert list(tmp_path.iterdir()) == [], "it makes nothing"


@pytest.mark.parametrize(
    ("arguments", "lifted"),
    [
        (["192.0.2.7"], {("192.0.2.7", ""), ("192.0.2.7", "applegrove.org")}),
        (["192.0.2.7/32", "--name", "AppleGrove.org"], {("192.0.2.7", "applegrove.org")}),
        (["2001:db8:0:1::/64"], {("2001:db8:0:1::/64", "applegrove.org")}),
        (["2001:db8:0:1::abcd"], {("2001:db8:0:1::/64", "applegrove.org")}),
        (["192.0.2.9", "--name", "root"], {("192.0.2.9", "root")}),
        (
            ["--name", "applegrove.org"],
            {("192.0.2.7", "applegrove.org"), ("192.0.2.8", "applegrove.org"),
             ("2001:db8:0:1::/64", "applegrove.org")},
        ),
    ],
)  # fmt: skip
def test_it_lifts_what_was_named_and_nothing_else(
    run: Run, ledger: Ledger, arguments: list[str], lifted: set[tuple[str, str]]
) -> None:
    before = remaining(ledger)
    assert run("clear", *arguments) == (0, f"{len(lifted)} lifted\n", "")
    assert remaining(ledger) == before - lifted
    assert all(ledger.strikes.find(*pair) == Strikes() for pair in lifted)


def test_it_lifts_everything(run: Run, ledger: Ledger) -> None:
    assert run("clear", "--all") == (0, "5 lifted\n", "")
    assert remaining(ledger) == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say which, nightdrop penalty list shows them"),
        (["192.0.2.7", "--all"], "say which"),
        (["192.0.2.77"], "there is no penalty of 192.0.2.77; nightdrop penalty list shows all"),
        (["192.0.2.8", "--name", "x"], "there is no penalty of x from 192.0.2.8;"),
    ],
)
def test_a_refusal_says_what_to_do(
    run: Run, ledger: Ledger, arguments: list[str], said: str
) -> None:
    before = remaining(ledger)
    code, out, error = run("clear", *arguments)
    assert (code, out) == (1, "")
    assert said in error
    assert remaining(ledger) == before


def test_a_ledger_that_cannot_be_read_is_told_apart(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run" / "ledger"
    path.mkdir(parents=True)
    code, _, error = run("list")
    assert code == 1
    assert f"{path} cannot be opened (Is a directory); run this as the user who" in error
    path.rmdir()
    path.write_bytes(b"of another time")
    code, _, error = run("list")
    assert code == 1
    assert f"{path} was made by another version of Nightdrop; restart the SFTP server" in error


def test_a_server_that_does_not_go_on_is_named(run: Run, ledger: Ledger) -> None:
    with ledger.strikes._turn:
        code, _, error = run("clear", "--all")
    assert code == 1
    assert "held by a process that does not go on" in error
