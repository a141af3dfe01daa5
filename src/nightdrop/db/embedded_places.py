# SPDX-License-Identifier: Apache-2.0
"""Where the embedded PostgreSQL keeps what it has, all known from HOME alone.

::

    HOME/postgres/data/         the cluster, 0700
                  run/          the socket, unless its path would be too long
                  server.log    what PostgreSQL says
                  users.lock    held shared by everybody who uses the server
                  start.lock    held by whoever starts or stops it
    HOME/pgbin/VERSION/         PostgreSQL's programs, where its user cannot reach ours
"""

import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nightdrop.db.embedded_account import Account, acting_as, make_directory
from nightdrop.db.embedded_refusals import HomeUnusable, SocketPlaceTaken

#: The port is part of the socket's name only: nothing listens on TCP.
PORT: Final = 5432
_SOCKET_NAME: Final = f".s.PGSQL.{PORT}"
#: The shortest `sun_path` of the systems we run on (macOS) less its final NUL.
_SOCKET_PATH_BYTES: Final = 103
# Not the user's TMPDIR or XDG_RUNTIME_DIR: a job of cron has another one than a login, and
# every process must find the same socket.
_SHORT_PLACE: Final = Path("/tmp")  # noqa: S108 made 0700 and checked for its owner


@dataclass(frozen=True, slots=True)
class Places:
    """The directories and files of one HOME."""

    home: Path

    @property
    def root(self) -> Path:
        """Everything of PostgreSQL's, on this node."""
        return self.home / "postgres"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """What PostgreSQL and its programs say."""
        return self.root / "server.log"

    @property
    def users_lock(self) -> Path:
        """Held shared by every user of the server; whoever gets it alone is the last."""
        return self.root / "users.lock"

    @property
    def start_lock(self) -> Path:
        """Held by the one who starts or stops the server."""
        return self.root / "start.lock"

    @property
    def binaries(self) -> Path:
        """Copies of PostgreSQL's programs."""
        return self.home / "pgbin"

    @property
    def socket_directory(self) -> Path:
        """The directory of the socket; a short one when HOME's own would not do."""
        own = self.root / "run"
        # libpq takes what has a comma for a list of hosts.
        if len(os.fsencode(own / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES and "," not in str(own):
            return own
        digest = hashlib.sha256(os.fsencode(os.path.realpath(self.home))).hexdigest()
        return _SHORT_PLACE / f"nightdrop-{digest[:16]}"

    @property
    def socket(self) -> Path:
        """The socket itself."""
        return self.socket_directory / _SOCKET_NAME

    def prepare(self, account: Account) -> None:
        """Make the directories that are missing.

        Raises: HomeUnusable, DirectoryClosed, SocketPlaceTaken.
        """
        if any(character in str(self.home) for character in _NOT_IN_PATHS):
            why = f"its name has one of {' '.join(_NOT_IN_PATHS)}"
            raise HomeUnusable(self.home, user=account.name, why=why)
        make_directory(self.home, account, mode=0o750)
        make_directory(self.root, account)
        owner = self.root.stat().st_uid
        if owner != account.uid:
            why = f"it belongs to the user with the id {owner}"
            raise HomeUnusable(self.root, user=account.name, why=why)
        self._prepare_socket_directory(account)

    def leave(self, account: Account) -> None:
        """Remove the short directory, if there is one: nobody would look for it."""
        if not self.socket_directory.is_relative_to(self.root):
            with acting_as(account), suppress(OSError):
                self.socket_directory.rmdir()

    def _prepare_socket_directory(self, account: Account) -> None:
        with acting_as(account):
            with suppress(FileExistsError):
                self.socket_directory.mkdir(mode=0o700)
            # Anybody can make a directory in the short place, and a socket in somebody
            # else's directory may be somebody else's server.
            status = self.socket_directory.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid
        if not is_ours or stat.S_IMODE(status.st_mode) & 0o077:
            raise SocketPlaceTaken(self.socket_directory, user=account.name)


# pg_ctl starts the server through a shell, and quotes for it with double quotes only.
_NOT_IN_PATHS: Final = ('"', "$", "`", "\\", "'", "\n")
