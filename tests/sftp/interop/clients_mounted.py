# SPDX-License-Identifier: Apache-2.0
"""sshfs: the account as a directory of this machine, used by what every program does to files."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from sftp.interop.client_steps import (
    Client,
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
    give_up,
    listings_among,
    run_program,
)


class Sshfs(Client):
    """One mount is one session; it ends when the directory is unmounted."""

    name = "sshfs"
    needs = {"sshfs": "sshfs", "fusermount3": "fuse3"}
    needs_host = True

    def require(self) -> None:
        super().require()
        if not Path("/dev/fuse").exists():
            give_up("/dev/fuse is not here: this machine, or its container, has no FUSE")

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        mounted = visitor.home / "mounted"
        mounted.mkdir(exist_ok=True)
        options = visitor.openssh_options
        configured = [options[at + 1] for at, word in enumerate(options) if word == "-o"]
        run_program(
            ["sshfs", "-F", "/dev/null", "-p", str(visitor.port),
             "-o", ",".join([*configured, f"IdentityFile={visitor.key}"]),
             f"{visitor.username}@127.0.0.1:/", mounted],
            visitor,
        )  # fmt: skip
        try:
            results = [_DEEDS[type(step)](mounted, step) for step in steps]
        finally:
            run_program(["fusermount3", "-u", mounted], visitor)
        return listings_among(steps, results)


def _resume(mounted: Path, step: Resume) -> None:
    with step.local.open("rb") as source, _there(mounted, step.remote).open("ab") as target:
        source.seek(target.tell())
        shutil.copyfileobj(source, target)


def _there(mounted: Path, path: str) -> Path:
    return mounted / path.lstrip("/")


_DEEDS: Deeds[Path, object] = {
    Put: lambda mounted, step: shutil.copyfile(step.local, _there(mounted, step.remote)),
    Get: lambda mounted, step: shutil.copyfile(_there(mounted, step.remote), step.local),
    Resume: _resume,
    PutTree: lambda mounted, step: shutil.copytree(step.local, _there(mounted, step.remote)),
    GetTree: lambda mounted, step: shutil.copytree(_there(mounted, step.remote), step.local),
    Rename: lambda mounted, step: _there(mounted, step.old).rename(_there(mounted, step.new)),
    List: lambda mounted, step: [path.name for path in _there(mounted, step.path).iterdir()],
    MakeDirectory: lambda mounted, step: _there(mounted, step.path).mkdir(),
    RemoveDirectory: lambda mounted, step: _there(mounted, step.path).rmdir(),
    Remove: lambda mounted, step: _there(mounted, step.path).unlink(),
}
