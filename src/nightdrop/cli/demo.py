# SPDX-License-Identifier: Apache-2.0
"""`nightdrop demo`: a whole night in a scratch directory, by the same commands as anybody's.

Every step is a real command of this program or the system's own `sftp`, and is printed as
it is run; nothing is pretended.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import typer

from nightdrop.core.errors import Refusal

DISTRICT = "applegrove.org"
STUDENTS = 500
#: How long a step may take on a slow machine.
PATIENCE_SECONDS = 90

app = typer.Typer(add_completion=False)


class DemoFailed(Refusal):
    """A step of the demonstration did not work; `output` is what it printed."""

    code: ClassVar[str] = "demo-failed"

    def __init__(self, step: str, *, output: str) -> None:
        super().__init__(step, output)
        self.step = step
        self.output = output


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where the demonstration lives, and how its commands are run."""

    directory: Path
    environ: dict[str, str]

    def nightdrop(self, *arguments: str) -> str:
        """Run a command of this program and return what it printed."""
        return self.run([sys.executable, "-m", "nightdrop", *arguments], show=arguments)

    def run(self, command: list[str], *, show: tuple[str, ...] = ()) -> str:
        """Run a command; raises DemoFailed when it does not end with 0."""
        if show:
            typer.echo(f"   $ nightdrop {shlex.join(self.short(word) for word in show)}")
        ended = subprocess.run(  # noqa: S603 - our own program and the system's sftp
            command,
            env=self.environ,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if ended.returncode:
            raise DemoFailed(command[-1], output=(ended.stderr or ended.stdout).strip())
        return ended.stdout

    def short(self, word: str) -> str:
        """Leave the scratch directory out of a path that is shown."""
        return word.removeprefix(f"{self.directory}/")


@app.command("demo")
def demo(
    stay: bool = typer.Option(False, "--stay", help="Keep it running until Ctrl-C."),
) -> None:
    """Show a whole night in a scratch directory, and clear it away.

    Example: nightdrop demo --stay
    """
    with _scratch() as scratch, _serving(scratch):
        ports = json.loads((scratch.directory / "home/run/ports.json").read_text())
        _make_district(scratch)
        epoch = _send_night(scratch, port=ports["sftp"])
        delivery = _wait_until_finished(scratch, epoch=epoch)
        _show_report(scratch, delivery=delivery, epoch=epoch)
        if stay:
            _stay(scratch, ports=ports)


@contextlib.contextmanager
def _scratch() -> Iterator[Scratch]:
    directory = Path(tempfile.mkdtemp(prefix="nightdrop-demo-"))
    # The service user of a start as root must be able to pass through.
    directory.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTDROP_")}
    environ = own | {
        "NIGHTDROP_HOME": str(directory / "home"),
        "NIGHTDROP_SFTP_PORT": "0",
        "NIGHTDROP_WEB_PORT": "0",
        "NIGHTDROP_PUBLIC_HOST": "localhost",
    }
    try:
        yield Scratch(directory=directory, environ=environ)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _serving(scratch: Scratch) -> Iterator[None]:
    typer.echo("1. Starting Nightdrop: PostgreSQL, SFTP server, console, worker")
    typer.echo("   $ nightdrop serve")
    log_file = scratch.directory / "serve.log"
    with log_file.open("wb") as log:
        serve = subprocess.Popen(
            [sys.executable, "-m", "nightdrop", "serve"],
            env=scratch.environ,
            stdout=log,
            stderr=log,
        )
    try:
        try:
            scratch.nightdrop("doctor", "--wait", str(PATIENCE_SECONDS - 10))
        except DemoFailed as failed:
            output = f"{failed.output}\n{log_file.read_text()}"
            raise DemoFailed("nightdrop serve", output=output) from None
        yield
    finally:
        serve.send_signal(signal.SIGTERM)
        serve.wait(timeout=PATIENCE_SECONDS)


def _make_district(scratch: Scratch) -> None:
    typer.echo("2. The operator makes a district; the district sends its public key")
    scratch.nightdrop("district", "add", DISTRICT, "--time-zone", "America/New_York")
    key = scratch.directory / "id_ed25519"
    if shutil.which("ssh-keygen"):
        typer.echo("   $ ssh-keygen -t ed25519 -f id_ed25519")
        scratch.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(key)])
    else:
        scratch.run([sys.executable, "-m", "nightdrop.sftp.push", "make-key", str(key)])
    scratch.nightdrop("key", "add", DISTRICT, f"{key}.pub", "--label", "SIS server")


def _send_night(scratch: Scratch, *, port: int) -> str:
    typer.echo("3. At night the district's student information system sends its files")
    night = scratch.directory / "night"
    scratch.nightdrop("sample", "--students", str(STUDENTS), str(night))
    (night / "COMPLETE").touch()
    epoch = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    known_hosts = scratch.directory / "known_hosts"
    if not shutil.which("sftp"):
        pushed = ["nightdrop.sftp.push", "put", str(port), DISTRICT, "id_ed25519", epoch]
        scratch.run([sys.executable, "-m", *pushed, "night"])
        return epoch
    commands = [f"mkdir upload/{epoch}"]
    commands += [
        f"put night/{name} upload/{epoch}/"
        for name in ("students.csv", "guardians.csv", "COMPLETE")
    ]
    batch = scratch.directory / "night.sftp"
    batch.write_text("\n".join(commands) + "\n")
    typer.echo(f"   $ sftp -P {port} -i id_ed25519 {DISTRICT}@localhost")
    for command in commands:
        typer.echo(f"   sftp> {command}")
    options = ["-o", f"UserKnownHostsFile={known_hosts}", "-o", "StrictHostKeyChecking=accept-new"]
    options += ["-o", "IdentitiesOnly=yes", "-F", "none"]
    target = f"{DISTRICT}@127.0.0.1"
    scratch.run(
        ["sftp", "-q", "-P", str(port), "-i", "id_ed25519", *options, "-b", str(batch), target]
    )
    return epoch


def _wait_until_finished(scratch: Scratch, *, epoch: str) -> dict[str, object]:
    typer.echo("4. Nightdrop seals the epoch, checks it, loads it and clears it away")
    deadline = time.monotonic() + PATIENCE_SECONDS
    show: tuple[str, ...] = ("delivery", "list", DISTRICT, "--json")
    while time.monotonic() < deadline:
        command = [sys.executable, "-m", "nightdrop", *show]
        listed: list[dict[str, object]] = json.loads(scratch.run(command))
        finished = [found for found in listed if found["epoch"] == epoch and found["finished_at"]]
        if finished:
            return finished[0]
    raise DemoFailed(
        "waiting for the delivery", output=(scratch.directory / "serve.log").read_text()
    )


def _show_report(scratch: Scratch, *, delivery: dict[str, object], epoch: str) -> None:
    place = f"upload-processed/{epoch}/REPORT.txt"
    typer.echo(f"5. The report that the district finds as {place}\n")
    typer.echo(scratch.nightdrop("delivery", "show", str(delivery["id"])))
    sealed, finished = (
        datetime.fromisoformat(str(delivery[name])) for name in ("sealed_at", "finished_at")
    )
    seconds = (finished - sealed).total_seconds()
    export = ("roster", "export", DISTRICT, "students", "--format", "jsonl")
    exported = scratch.nightdrop(*export).count("\n")
    typer.echo(
        f"\nDone. {DISTRICT} dropped {STUDENTS} students and their guardians by SFTP. The\n"
        f"epoch was sealed when the session ended; {seconds:.1f} s later the roster had its rows\n"
        f"({exported} students in the export above), the report was written, and /upload was\n"
        "empty again.\n"
    )
    if delivery["state"] != "loaded":
        raise DemoFailed("the delivery", output=f"it is {delivery['state']}, not loaded")
    program = _program()
    typer.echo(
        f"Try it yourself:  {program} demo --stay   keeps all of this running\n"
        f"Start for real:   {program} serve         then: {program} district add NAME\n"
        "Read on:          README.md, ARCHITECTURE.md, docs/"
    )


def _program() -> str:
    """Return how this program is called from here."""
    if shutil.which("nightdrop"):
        return "nightdrop"
    beside = Path(sys.executable).with_name("nightdrop")
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)


def _stay(scratch: Scratch, *, ports: dict[str, int]) -> None:
    home = scratch.environ["NIGHTDROP_HOME"]
    typer.echo(
        f"\nStill running. The console: http://127.0.0.1:{ports['web']}/\n"
        f"SFTP: sftp -P {ports['sftp']} -i {scratch.directory}/id_ed25519 {DISTRICT}@127.0.0.1\n"
        f"Commands: NIGHTDROP_HOME={home} {_program()} operator add you@example.org\n"
        "Ctrl-C ends it and clears everything away."
    )
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
