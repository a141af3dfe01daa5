# SPDX-License-Identifier: Apache-2.0
"""`nightdrop penalty`: see who must wait on this machine after failed logins, and lift it."""

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import ClassVar

import typer

from nightdrop.cli.printing import print_json, print_table
from nightdrop.config import load_config
from nightdrop.core.errors import Refusal
from nightdrop.core.penalties import source_of
from nightdrop.storage.ledger import Ledger, Record, StrikeBook
from nightdrop.storage.ledger_file import LedgerMissing

#: What stands in the place of a name when it is the source as a whole that waits.
_ANY_NAME = "(any)"

app = typer.Typer(no_args_is_help=True, add_completion=False)


class LedgerClosed(Refusal):
    """The ledger cannot be opened; `why` is what the system says."""

    code: ClassVar[str] = "ledger-closed"

    def __init__(self, path: str, *, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why


class WhoseUnsaid(Refusal):
    """Nothing says which penalties to lift."""

    code: ClassVar[str] = "penalty-whose-unsaid"


class NoSuchPenalty(Refusal):
    """There is no penalty of what was named; `whose` says that."""

    code: ClassVar[str] = "no-such-penalty"

    def __init__(self, whose: str) -> None:
        super().__init__(whose)
        self.whose = whose


@app.callback()
def group() -> None:
    """See who must wait on this machine after too many failed logins, and lift it.

    Example: nightdrop penalty list
    """


@app.command("list")
def list_all(as_json: bool = typer.Option(False, "--json", help="For scripts.")) -> None:
    """List the waits that go on, the longest first; times are UTC.

    Example: nightdrop penalty list --json
    """
    now = datetime.now(UTC)
    with ExitStack() as stack:
        book = _open_book(stack)
        found = book.list_all() if book else []
    waiting = sorted(
        (record for record in found if record.strikes.is_waiting(now=now)),
        key=lambda record: (record.strikes.until, record.source, record.name),
        reverse=True,
    )
    if as_json:
        print_json([_facts(record) for record in waiting])
        return
    print_table(
        ("SOURCE", "USER NAME", "FAILURES", "UNTIL"),
        [
            (one.source, one.name or _ANY_NAME, one.strikes.failures, _moment(one.strikes.until))
            for one in waiting
        ],
    )


@app.command()
def clear(
    source: str | None = typer.Argument(None, help="An address or network, as list shows it."),
    name: str | None = typer.Option(None, help="Only what this user name must wait."),
    everything: bool = typer.Option(False, "--all", help="Lift all of them."),
) -> None:
    """Lift waits and forget the failures behind them; those named may try again at once.

    Example: nightdrop penalty clear 192.0.2.7 --name applegrove.org
    """
    if everything == bool(source or name):
        raise WhoseUnsaid
    wanted_source = source_of(source.partition("/")[0]) if source else None
    wanted_name = name.lower() if name else None
    lifted = 0
    with ExitStack() as stack:
        book = _open_book(stack)
        for record in book.list_all() if book else ():
            is_of_source = wanted_source in {None, record.source}
            is_of_name = wanted_name in {None, record.name}
            if book and is_of_source and is_of_name:
                lifted += book.forget(record.source, record.name)
    if not lifted and not everything:
        raise NoSuchPenalty(" from ".join(part for part in (wanted_name, wanted_source) if part))
    typer.echo(f"{lifted} lifted")


def _open_book(stack: ExitStack) -> StrikeBook | None:
    """Open this machine's book of failures; None where no SFTP server has run."""
    path = load_config().ledger_file
    try:
        ledger = Ledger.look(path)
    except LedgerMissing:
        return None
    except OSError as error:
        raise LedgerClosed(str(path), why=error.strerror or "cannot be read") from None
    stack.callback(ledger.close)
    return ledger.strikes


def _facts(record: Record) -> dict[str, object]:
    return {
        "source": record.source,
        "username": record.name or None,
        "failures": record.strikes.failures,
        "until": record.strikes.until,
    }


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
