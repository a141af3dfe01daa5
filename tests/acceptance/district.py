# SPDX-License-Identifier: Apache-2.0
"""A district, its nights, and what becomes of them: by `sftp`, by commands, on the disk."""

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acceptance.processes import PATIENCE_SECONDS, wait_until
from acceptance.running import Nightdrop
from nightdrop.core.paths import Zone

EPOCH = "20261123-021407"
NEXT_EPOCH = "20261124-021407"
TABLES = ("students", "guardians")
REPORTS = {"REPORT.txt", "report.json", "findings.csv"}

#: Bytes of each table as the roster exports it.
Exported = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Night:
    """What is sent in one night, and what the roster exports when all of it is loaded.

    `directory` holds the files; `counts` are those that the load reports.
    """

    directory: Path
    counts: Mapping[str, Mapping[str, int]]
    exported: Exported

    def path(self, name: str) -> str:
        """Return where a file of it is."""
        return str(self.directory / name)

    def puts(self, *names: str, epoch: str = EPOCH) -> list[str]:
        """Return the commands for `sftp` that send files of it."""
        return [f"put {self.path(name)} /upload/{epoch}/" for name in names]

    def commands(self, epoch: str = EPOCH) -> list[str]:
        """Return the commands for `sftp` that send all of it."""
        files = ("students.csv", "guardians.csv", "COMPLETE")
        return [f"mkdir /upload/{epoch}", *self.puts(*files, epoch=epoch)]


@dataclass(slots=True)
class District:
    """A district with one key, which all districts here share as one bureau's."""

    nightdrop: Nightdrop
    name: str
    id: str = field(init=False)

    def __post_init__(self) -> None:
        run = self.nightdrop.console.run
        run("district", "add", self.name)
        run("key", "add", self.name, f"{self.nightdrop.key}.pub")
        self.id = json.loads(run("district", "show", self.name, "--json"))["id"]
        snapshot = self.nightdrop.config.snapshot_file
        wait_until(lambda: self.name in snapshot.read_text(), what="the district's login")

    # As the district.

    def connect(
        self,
        *commands: str,
        limit_kilobits: int | None = None,
        key: Path | None = None,
        source: str = "127.0.0.1",
    ) -> "subprocess.Popen[str]":
        """Start OpenSSH's `sftp` with a batch of commands; more may follow, see `tell`.

        It comes from `source`, an address of this machine: all in 127.0.0.0/8 are, on Linux.
        """
        limit = ["-l", str(limit_kilobits)] if limit_kilobits else []
        process = subprocess.Popen(
            ["sftp", "-b", "-", *limit, "-P", str(self.nightdrop.port),
             "-F", "none", "-i", str(key or self.nightdrop.key), "-o", "IdentitiesOnly=yes",
             "-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
             "-o", "UserKnownHostsFile=/dev/null", "-o", f"BindAddress={source}",
             f"{self.name}@127.0.0.1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        tell(process, *commands)
        return process

    def begin(
        self,
        *commands: str,
        limit_kilobits: int | None = None,
        key: Path | None = None,
        source: str = "127.0.0.1",
    ) -> "subprocess.Popen[str]":
        """Start a whole session, and do not wait for its end."""
        process = self.connect(*commands, limit_kilobits=limit_kilobits, key=key, source=source)
        assert process.stdin is not None
        process.stdin.close()
        return process

    def send(self, *commands: str, key: Path | None = None) -> str:
        """Run OpenSSH's `sftp` with a batch of commands that all must succeed."""
        process = self.begin(*commands, key=key)
        status, said = end(process)
        assert status == 0, said
        return said

    # As the operator.

    def deliveries(self) -> list[dict[str, Any]]:
        """Return what `delivery list --json` says."""
        listed = self.nightdrop.console.run("delivery", "list", self.name, "--json")
        found: list[dict[str, Any]] = json.loads(listed)
        return found

    def export(self) -> Exported:
        """Return the roster. Guardians first: whoever has those has their students, too."""
        return {
            table: self.nightdrop.console.run("roster", "export", self.name, table)
            for table in reversed(TABLES)
        }

    def wait_until_finished(
        self, epoch: str = EPOCH, *, meanwhile: Callable[[], object] = lambda: None
    ) -> dict[str, Any]:
        """Wait until an epoch is finished; return the only delivery that there is of it.

        `meanwhile` is done again and again until then.
        """

        def look() -> dict[str, Any] | None:
            meanwhile()
            found = [row for row in self.deliveries() if row["epoch"] == epoch]
            assert len(found) <= 1, found
            return found[0] if found and found[0]["finished_at"] else None

        def tell() -> str:
            return f"{self.deliveries()}\n{self.nightdrop.log()}"

        return wait_until(look, what=f"the end of {epoch}", why=tell)

    def wait_for_state(self, state: str, *, epoch: str = EPOCH) -> None:
        """Wait until the database knows the delivery, and this of it."""
        wait_until(
            lambda: (epoch, state) in [(row["epoch"], row["state"]) for row in self.deliveries()],
            what=f"{epoch} to be {state}",
            why=self.nightdrop.log,
        )

    def check_never_half(self, night: Night, *, before: Exported | None = None) -> bool:
        """See that the roster is the old one or the new one. Returns whether it is the new."""
        old = before or dict.fromkeys(TABLES, "")
        seen = self.export()
        is_new = {table: seen[table] == night.exported[table] for table in TABLES}
        for table in TABLES:
            is_old = _rows(seen[table]) == _rows(old[table])
            assert is_new[table] or is_old, (table, seen[table])
        assert is_new["students"] or not is_new["guardians"]
        return all(is_new.values())

    # On the disk.

    def directory(self, zone: Zone) -> Path:
        """Return where one of its three directories is."""
        return self.nightdrop.config.tree / self.id / zone

    def names(self, zone: Zone, *parts: str) -> set[str]:
        """Return what a directory holds; nothing when it is not there."""
        place = self.directory(zone).joinpath(*parts)
        return {entry.name for entry in place.iterdir()} if place.exists() else set()

    def has_seal(self, epoch: str = EPOCH) -> bool:
        """Whether the epoch in /upload has a seal record."""
        lock = self.nightdrop.config.tree / self.id / "locks" / epoch
        return lock.exists() and lock.stat().st_size > 0

    def check_loaded_once(
        self, night: Night, *, before: Exported | None = None, epoch: str = EPOCH
    ) -> None:
        """Wait for the end of a night, and see that all of it is there, and there once."""
        delivery = self.wait_until_finished(
            epoch, meanwhile=lambda: self.check_never_half(night, before=before)
        )
        assert delivery["state"] == "loaded"
        assert delivery["counts"] == night.counts
        assert self.export() == night.exported
        assert epoch not in self.names(Zone.UPLOAD)
        there = [name for name in self.names(Zone.PROCESSED) if name.startswith(epoch)]
        assert there == [epoch]
        files = {"students.csv", "guardians.csv", "COMPLETE"}
        assert self.names(Zone.PROCESSED, epoch) == files | REPORTS
        place = self.directory(Zone.PROCESSED) / epoch
        for name in files:
            assert (place / name).read_bytes() == (night.directory / name).read_bytes()
        report = json.loads((place / "report.json").read_text())
        assert (report["id"], report["counts"]) == (delivery["id"], delivery["counts"])


def tell(process: "subprocess.Popen[str]", *commands: str) -> None:
    """Give `sftp` more commands."""
    assert process.stdin is not None
    process.stdin.write("\n".join(commands) + "\n")
    process.stdin.flush()


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for the end of `sftp`; return its status and what it said."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    said = process.stdout.read()
    process.stdout.close()
    return process.wait(PATIENCE_SECONDS), said


def _rows(exported: str) -> list[str]:
    """Return an export's rows; an empty table has at most its headings."""
    return exported.splitlines()[1:]
