# SPDX-License-Identifier: Apache-2.0
"""`nightdrop hostkey`: show the host keys, and replace them without surprising clients.

Only `retire` reaches the database, to name the clients that have yet to be told. The rest
answers at once, and while the database is away.
"""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final

import typer

from nightdrop.cli.hostkey_lines import fingerprint_lines, known_hosts_lines, sshfp_lines
from nightdrop.cli.main import set_up_django
from nightdrop.cli.printing import print_json, print_table
from nightdrop.config import Config, load_config
from nightdrop.core.errors import Refusal
from nightdrop.db.embedded_account import acting_as, server_account
from nightdrop.storage.hostkeys import (
    HostKey,
    HostKeyStore,
    KeyKind,
    KindKeys,
    NoHostKeys,
    kinds_in_use,
)

#: How long clients are given to learn the next key, or to be told of it.
NOTICE: Final = timedelta(days=30)
#: What a fingerprint begins with; people leave it out.
_PREFIX: Final = "SHA256:"
#: A day that is so near is worth a reminder.
_NEAR: Final = timedelta(days=7)

app = typer.Typer(no_args_is_help=True, add_completion=False)


class Which(StrEnum):
    """Which kinds of host key are meant."""

    ALL = "all"
    ED25519 = KeyKind.ED25519
    RSA = KeyKind.RSA
    ECDSA = KeyKind.ECDSA


class HostKeysClosed(Refusal):
    """Who runs this command may not read the host keys in `directory`."""

    code: ClassVar[str] = "host-keys-closed"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory


class HostKeyKindUnused(Refusal):
    """No port that is turned on uses keys of this kind."""

    code: ClassVar[str] = "host-key-kind-unused"

    def __init__(self, kind: KeyKind) -> None:
        super().__init__(kind)
        self.kind = kind


@app.callback()
def group() -> None:
    """Show the host keys, by which clients recognise this service, and replace them.

    Example: nightdrop hostkey show
    """


@app.command()
def show(
    sshfp: bool = typer.Option(False, "--sshfp", help="Print nothing but SSHFP records, for DNS."),
) -> None:
    """Show what clients may compare and pin: fingerprints and known_hosts lines.

    Example: nightdrop hostkey show
    """
    config = load_config()
    with _open_store(config) as store:
        found = store.find(_kinds(config))
    current = [keys.current for keys in found]
    following = [keys.next for keys in found if keys.next is not None]
    if sshfp:
        _print(sshfp_lines(config, [*current, *following]))
        return
    typer.echo("The host keys:")
    _print_keys(config, current)
    if following:
        typer.echo("The next keys, which do not sign yet; let clients know them before they do:")
        _print_keys(config, following)
    typer.echo("For DNS: nightdrop hostkey show --sshfp")
    _remind(found)


@app.command("list")
def list_all(as_json: bool = typer.Option(False, "--json", help="For scripts.")) -> None:
    """List the host keys: those that sign, those that will, and those that did.

    Example: nightdrop hostkey list --json
    """
    config = load_config()
    with _open_store(config) as store:
        found, retired = store.find(_kinds(config)), store.retired()
    rows = [
        *(_facts(keys.current, "current", retires_on=keys.retire_on) for keys in found),
        *(_facts(keys.next, "next") for keys in found if keys.next is not None),
        *(_facts(key, "retired") for key in retired),
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("KIND", "STATE", "SINCE", "RETIRES ON", "FINGERPRINT"),
            [
                (row["kind"], row["state"], f"{row['since']:%Y-%m-%d}", row["retires_on"],
                 row["fingerprint"])
                for row in rows
            ],
        )  # fmt: skip
    _remind(found)


@app.command()
def rotate(
    which: Which = typer.Argument(Which.ALL, metavar="KIND", help="ed25519, rsa, ecdsa or all."),
) -> None:
    """Make the next host keys. They are announced at once, and sign when the present ones retire.

    Example: nightdrop hostkey rotate ed25519
    """
    config = load_config()
    in_use = _kinds(config)
    kinds = in_use if which is Which.ALL else (KeyKind(which),)
    for kind in kinds:
        if kind not in in_use:
            raise HostKeyKindUnused(kind)
    for kind in kinds:
        with _open_store(config) as store:
            keys = store.add_next(kind)
        if keys.next is not None:
            typer.echo(f"the next {kind} key is {keys.next.public.fingerprint}")
            typer.echo(f"next: nightdrop hostkey retire {keys.current.public.fingerprint}")


@app.command()
def retire(
    context: typer.Context,
    fingerprint: str = typer.Argument(help="The key that is to sign no more, SHA256:..."),
    on: str | None = typer.Option(None, help="First day without it, YYYY-MM-DD (UTC)."),
    at_once: bool = typer.Option(False, "--now", help="Do it now."),
    cancel: bool = typer.Option(False, "--cancel", help="Take a planned day back."),
) -> None:
    """Let the next key take a host key's place, and list the clients that do not know it yet.

    Without --on or --now this is planned for 30 days from now, or left as it is planned. The
    servers do it themselves when the day comes.

    Example: nightdrop hostkey retire SHA256:8vG... --on 2027-01-15
    """
    if sum((on is not None, at_once, cancel)) > 1:
        raise typer.BadParameter("give one of --on, --now and --cancel")
    today = datetime.now(UTC).date()
    day = _read_day(on, today=today)
    fingerprint = _PREFIX + fingerprint.removeprefix(_PREFIX)
    with _open_store(load_config()) as store:
        if cancel:
            keys = store.cancel(fingerprint)
        elif at_once:
            keys = store.retire(fingerprint)
        else:
            keys = _plan(store, fingerprint, day=day, today=today)
    if cancel:
        typer.echo(f"the {keys.current.kind} key {fingerprint} stays")
        return
    # Either it follows on that day, or it has followed.
    following = (keys.next or keys.current).public.fingerprint
    typer.echo(f"{following} signs from {'now' if at_once else keys.retire_on} on")
    set_up_django()
    clients = importlib.import_module("nightdrop.cli.hostkey_clients")
    clients.print_clients(context, fingerprint, next_key=following)


def _plan(store: HostKeyStore, fingerprint: str, *, day: date | None, today: date) -> KindKeys:
    """Plan the day that was given; else keep one that is planned; else give a notice."""
    if day is None:
        for keys in store.find(tuple(KeyKind)):
            if keys.current.public.fingerprint == fingerprint and keys.retire_on is not None:
                return keys
    return store.plan(fingerprint, on=day or today + NOTICE)


@contextmanager
def _open_store(config: Config) -> Iterator[HostKeyStore]:
    """Run the body as the user that the server has, to whom the keys belong.

    Raises:  NoHostKeys, HostKeysClosed, NoServiceUser.
    """
    directory = config.hostkeys_dir
    try:
        if not directory.exists():
            # Made by the first start, and not here: somebody who may have called this with
            # another home would take the new keys for those of the service.
            raise NoHostKeys(directory)
        with acting_as(server_account(config.home)):
            yield HostKeyStore(directory)
    except PermissionError:
        raise HostKeysClosed(directory) from None


def _kinds(config: Config) -> tuple[KeyKind, ...]:
    return kinds_in_use(has_legacy=config.sftp_legacy_port is not None)


def _read_day(text: str | None, *, today: date) -> date | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("give a day such as 2027-01-15", param_hint="--on") from None
    if day <= today:
        raise typer.BadParameter("that day has come; to do it now, say --now", param_hint="--on")
    return day


def _facts(key: HostKey, state: str, *, retires_on: date | None = None) -> dict[str, object]:
    return {
        "kind": key.kind,
        "state": state,
        "bits": key.public.bits,
        "fingerprint": key.public.fingerprint,
        "md5": key.public.md5,
        "since": key.since,
        "retires_on": retires_on,
    }


def _remind(found: Sequence[KindKeys]) -> None:
    today = datetime.now(UTC).date()
    for keys in found:
        if keys.next is not None and keys.retire_on is not None and keys.retire_on - today <= _NEAR:
            old = keys.current.public.fingerprint
            typer.echo(
                f"note: the {keys.current.kind} key retires on {keys.retire_on}; who has yet to be"
                f" told is listed by nightdrop hostkey retire {old}",
                err=True,
            )


def _print_keys(config: Config, keys: Sequence[HostKey]) -> None:
    _print(fingerprint_lines(config, keys))
    for port, lines in known_hosts_lines(config, keys).items():
        typer.echo(f"\nFor known_hosts of clients that use port {port}:")
        _print(lines)
    typer.echo()


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        typer.echo(line)
