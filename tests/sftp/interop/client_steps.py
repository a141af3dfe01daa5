# SPDX-License-Identifier: Apache-2.0
"""What a deed asks of a client, in words that every client's driver puts into its own.

A deed is a list of steps; a driver carries them out in one visit, which is one session with
the server wherever the program can do several things in one.
"""

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from sftp.harness import ClientKey, Nightdrop


class Deed(StrEnum):
    """The rows of the matrix."""

    PUT_GET = "put-get"
    BIG_FILE = "big-file"
    MANY_FILES = "many-files"
    RESUME = "resume"
    RENAME = "rename"
    LIST = "list"
    FOLDERS = "folders"
    REMOVE = "remove"
    SEAL_BY_RENAME = "seal-by-rename"
    SEAL_A_TREE = "seal-a-tree"


@dataclass(frozen=True)
class Put:
    """Upload a file under a name."""

    local: Path
    remote: str


@dataclass(frozen=True)
class Get:
    """Download a file under a name."""

    remote: str
    local: Path


@dataclass(frozen=True)
class Resume:
    """Go on with an upload of which a part is there."""

    local: Path
    remote: str


@dataclass(frozen=True)
class PutTree:
    """Upload a directory with files in it; it is not there yet."""

    local: Path
    remote: str

    def files(self) -> list[Path]:
        """Return its files."""
        return sorted(self.local.iterdir())


@dataclass(frozen=True)
class GetTree:
    """Download a directory with files in it; it is not there yet."""

    remote: str
    local: Path


@dataclass(frozen=True)
class Rename:
    """Give a file another name."""

    old: str
    new: str


@dataclass(frozen=True)
class List:
    """Tell the names in a directory."""

    path: str


@dataclass(frozen=True)
class MakeDirectory:
    """Make a directory."""

    path: str


@dataclass(frozen=True)
class RemoveDirectory:
    """Remove an empty directory."""

    path: str


@dataclass(frozen=True)
class Remove:
    """Remove a file."""

    path: str


Step = (
    Put
    | Get
    | Resume
    | PutTree
    | GetTree
    | Rename
    | List
    | MakeDirectory
    | RemoveDirectory
    | Remove
)
#: The names of each List among the steps, in their order.
Listings = list[list[str]]
Session = TypeVar("Session")
Result = TypeVar("Result")
#: How a library carries out each kind of step: a function of a session and the step.
Deeds = Mapping[type[Step], Callable[[Session, Any], Result]]


@dataclass(frozen=True)
class Visitor:
    """Who visits: the account, its key, and a home of the client's own."""

    port: int
    username: str
    key: Path
    fingerprints: tuple[str, ...]
    home: Path
    #: How long a visit may take; a hang is a failure, and ends here.
    seconds: int = 60

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a client, without the tester's own agent and home."""
        kept = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
        return kept | {"HOME": str(self.home), "LC_ALL": "C.UTF-8"}

    @property
    def openssh_options(self) -> list[str]:
        """What OpenSSH's programs, and those that start them, are told."""
        return [
            "-F", "/dev/null", "-i", str(self.key), "-o", "IdentitiesOnly=yes",
            "-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
        ]  # fmt: skip


def make_visitor(server: Nightdrop, key: ClientKey, username: str, home: Path) -> Visitor:
    """Return who visits the server's usual port."""
    return Visitor(
        port=server.port,
        username=username,
        key=key.path,
        fingerprints=tuple(key.get_fingerprint() for key in server.host_keys()),
        home=home,
    )


class Client(ABC):
    """A driver of one program or library."""

    name: ClassVar[str]
    #: Programs that it needs, each with Debian's package.
    needs: ClassVar[Mapping[str, str]] = {}
    #: What it cannot do, each with the reason.
    cannot: ClassVar[Mapping[Deed, str]] = {}
    #: Whether it needs what a container may not have.
    needs_host: ClassVar[bool] = False
    #: Whether it is older than the algorithms of the modern port, and visits the other.
    is_old: ClassVar[bool] = False

    @abstractmethod
    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        """Carry out `steps`; anything that fails is an AssertionError or an error of its own."""

    def require(self) -> None:
        """Skip when a program is missing; where nothing may be missing, fail."""
        for program, package in self.needs.items():
            if shutil.which(program) is None:
                give_up(f"{program} is not here; install {package}")


def give_up(reason: str) -> None:
    """Skip loudly, and fail in CI, where nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def run_program(command: Sequence[str | Path], visitor: Visitor, *, script: str = "") -> str:
    """Run a program to its end, and return what it printed; it must succeed."""
    done = subprocess.run(
        command, input=script, capture_output=True, text=True, check=False,
        timeout=visitor.seconds, env=visitor.environment, cwd=visitor.home,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def base_names(lines: Sequence[str]) -> list[str]:
    """Return the last parts of paths, one a line, without blank lines."""
    return [line.rstrip("/").rsplit("/", 1)[-1] for line in lines if line.strip()]


def write_script(commands: Mapping[type[Step], str], steps: Sequence[Step]) -> str:
    """Write steps as a client's own commands, a line for each."""
    return "".join(f"{commands[type(step)].format(step=step)}\n" for step in steps)


def listings_among(steps: Sequence[Step], results: Sequence[object]) -> Listings:
    """Return what came of each List."""
    pairs = zip(steps, results, strict=True)
    found = [result for step, result in pairs if isinstance(step, List)]
    return [[str(name) for name in names] for names in found if isinstance(names, list)]
