# SPDX-License-Identifier: Apache-2.0
"""curl and rclone: a program, and so a session, for each step."""

import os
from collections.abc import Sequence
from pathlib import Path

from sftp.interop.client_steps import (
    Client,
    Deed,
    Deeds,
    Get,
    GetTree,
    List,
    Listings,
    MakeDirectory,
    Put,
    PutTree,
    Remove,
    RemoveDirectory,
    Rename,
    Resume,
    Step,
    Visitor,
    base_names,
    listings_among,
    run_program,
)


class Curl(Client):
    """Over libssh2. What is no transfer is a command beside one, given by ``--quote``.

    Debian 12 has libssh2 1.10, which knows neither an AEAD cipher nor an encrypt-then-MAC.
    """

    name = "curl"
    needs = {"curl": "curl"}
    is_old = True

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        results = [self._do(visitor, step) for step in steps]
        return listings_among(steps, results)

    def _do(self, visitor: Visitor, step: Step) -> list[str]:
        site = f"sftp://{visitor.username}@127.0.0.1:{visitor.port}"
        if isinstance(step, GetTree):
            names = ",".join(self._do(visitor, List(step.remote)))
            words = ["--create-dirs", "--output", f"{step.local}/#1",
                     f"{site}{step.remote}/{{{names}}}"]  # fmt: skip
        else:
            words = _CURL[type(step)](site, step)
        printed = run_program(
            ["curl", "--disable", "--silent", "--show-error", "--fail-early", "--insecure",
             "--key", str(visitor.key), *words],
            visitor,
        )  # fmt: skip
        return [name for name in base_names(printed.splitlines()) if name not in {".", ".."}]


def _put_tree(site: str, step: PutTree) -> list[str]:
    names = ",".join(str(path) for path in step.files())
    return ["--ftp-create-dirs", "--upload-file", f"{{{names}}}", f"{site}{step.remote}/"]


def _quote(site: str, command: str) -> list[str]:
    return ["--quote", command, "--output", os.devnull, f"{site}/upload/"]


_CURL: Deeds[str, list[str]] = {
    Put: lambda site, step: ["--upload-file", str(step.local), f"{site}{step.remote}"],
    Resume: lambda site, step: [
        "--continue-at", "-", "--upload-file", str(step.local), f"{site}{step.remote}",
    ],
    Get: lambda site, step: ["--output", str(step.local), f"{site}{step.remote}"],
    PutTree: _put_tree,
    List: lambda site, step: ["--list-only", f"{site}{step.path}/"],
    Rename: lambda site, step: _quote(site, f"rename {step.old} {step.new}"),
    MakeDirectory: lambda site, step: _quote(site, f"mkdir {step.path}"),
    RemoveDirectory: lambda site, step: _quote(site, f"rmdir {step.path}"),
    Remove: lambda site, step: _quote(site, f"rm {step.path}"),
}  # fmt: skip


class Rclone(Client):
    """Told that there is no shell, as the guide says."""

    name = "rclone"
    needs = {"rclone": "rclone"}
    cannot = {Deed.RESUME: "rclone sends a file that is not whole anew"}
    options = "shell_type=none,disable_hashcheck=true"

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        results = [self._do(visitor, step) for step in steps]
        return listings_among(steps, results)

    def _do(self, visitor: Visitor, step: Step) -> list[str]:
        words = _RCLONE[type(step)](f"{self.remote(visitor)}:", step)
        printed = self.rclone(visitor, *words)
        if isinstance(step, PutTree):
            self.rclone(visitor, "check", "--download", *words[1:])
        return base_names(printed.splitlines())

    def remote(self, visitor: Visitor) -> str:
        """Return the account as a remote that needs no configuration."""
        return (
            f":sftp,host=127.0.0.1,port={visitor.port},user={visitor.username},"
            f"key_file={visitor.key}{',' if self.options else ''}{self.options}"
        )

    def rclone(self, visitor: Visitor, *words: str | Path) -> str:
        """Run one command."""
        return run_program(["rclone", "--config", os.devnull, "--retries", "1", *words], visitor)


_RCLONE: Deeds[str, list[str]] = {
    Put: lambda there, step: ["copyto", str(step.local), f"{there}{step.remote}"],
    Get: lambda there, step: ["copyto", f"{there}{step.remote}", str(step.local)],
    PutTree: lambda there, step: ["copy", str(step.local), f"{there}{step.remote}"],
    GetTree: lambda there, step: ["sync", f"{there}{step.remote}", str(step.local)],
    List: lambda there, step: ["lsf", f"{there}{step.path}"],
    Rename: lambda there, step: ["moveto", f"{there}{step.old}", f"{there}{step.new}"],
    MakeDirectory: lambda there, step: ["mkdir", f"{there}{step.path}"],
    RemoveDirectory: lambda there, step: ["rmdir", f"{there}{step.path}"],
    Remove: lambda there, step: ["deletefile", f"{there}{step.path}"],
}


class RcloneAsItComes(Rclone):
    """With its defaults it looks for a shell, and asks that for hashes."""

    name = "rclone-defaults"
    options = ""
