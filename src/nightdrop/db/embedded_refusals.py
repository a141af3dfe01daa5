# SPDX-License-Identifier: Apache-2.0
"""Why the embedded PostgreSQL cannot run, or a database cannot be reached."""

from pathlib import Path
from typing import ClassVar

from nightdrop.core.errors import Refusal


class DatabaseRefused(Refusal):
    """Root of what stands between Nightdrop and its database."""

    code: ClassVar[str] = "database"


class RoleUrlMissing(DatabaseRefused):
    """An external database is used, and the URL of the role that is needed is not set."""

    code: ClassVar[str] = "role-url-missing"

    def __init__(self, variable: str) -> None:
        super().__init__(variable)
        self.variable = variable


class BinariesMissing(DatabaseRefused):
    """The package that brings PostgreSQL is not installed for this machine."""

    code: ClassVar[str] = "binaries-missing"

    def __init__(self, package: str) -> None:
        super().__init__(package)
        self.package = package


class HomeUnusable(DatabaseRefused):
    """`path` cannot be made, read or written by `user`; `why` is the system's own reason."""

    code: ClassVar[str] = "home-unusable"

    def __init__(self, path: Path, *, user: str, why: str) -> None:
        super().__init__(path, user, why)
        self.path = path
        self.user = user
        self.why = why


class DirectoryClosed(DatabaseRefused):
    """`user`, who is to run PostgreSQL or a part, may not pass through `directory`."""

    code: ClassVar[str] = "directory-closed"

    def __init__(self, directory: Path, *, wanted: Path, user: str) -> None:
        super().__init__(directory, wanted, user)
        self.directory = directory
        self.wanted = wanted
        self.user = user


class SocketPlaceTaken(DatabaseRefused):
    """The short directory for the socket is there already and is not private to `user`."""

    code: ClassVar[str] = "socket-place-taken"

    def __init__(self, directory: Path, *, user: str) -> None:
        super().__init__(directory, user)
        self.directory = directory
        self.user = user


class NoServiceUser(DatabaseRefused):
    """PostgreSQL needs an entry in the list of users: for `user`, who could not be made."""

    code: ClassVar[str] = "no-service-user"

    def __init__(self, user: str, *, why: str) -> None:
        super().__init__(user, why)
        self.user = user
        self.why = why


class OtherMajor(DatabaseRefused):
    """The data in `directory` was written by another major version of PostgreSQL."""

    code: ClassVar[str] = "other-major"

    def __init__(self, directory: Path, *, found: str, wanted: str) -> None:
        super().__init__(directory, found, wanted)
        self.directory = directory
        self.found = found
        self.wanted = wanted


class PostgresFailed(DatabaseRefused):
    """A program of PostgreSQL failed at `step`; `reason` is the last line of `log`."""

    code: ClassVar[str] = "postgres-failed"
    retry: ClassVar[bool] = True

    def __init__(self, step: str, *, log: Path, reason: str) -> None:
        super().__init__(step, log, reason)
        self.step = step
        self.log = log
        self.reason = reason
