# SPDX-License-Identifier: Apache-2.0
"""Whose rights the embedded PostgreSQL and the parts have, and how root acts with them.

PostgreSQL refuses to run as root, so root hands everything in HOME to a system user. Root
then never touches a place that this user controls with rights of its own: whoever takes
over the service could put a link there and have root follow it. What root does in HOME it
does with the user's effective ids.
"""

# Codecs are modules that Python imports at first use. What is done with a user's rights
# may be the first use, and the user may not be allowed to read Python's own directory.
import encodings.ascii
import encodings.idna
import encodings.latin_1
import encodings.utf_8_sig
import encodings.utf_16  # noqa: F401
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nightdrop.config import SERVICE_USER
from nightdrop.db.embedded_refusals import DirectoryClosed, HomeUnusable, NoServiceUser


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the operating system; never root."""

    name: str
    uid: int
    gid: int


def server_account(home: Path) -> Account:
    """Return the user whose PostgreSQL serves `home`.

    An ordinary user serves itself. For root it is whoever owns the home, so that root can
    look after a home that an ordinary user made; else the system user, made if missing.

    Raises: NoServiceUser.
    """
    euid = os.geteuid()
    if euid != 0:
        return _account_of(euid)
    for path in (home / "postgres", home):
        with suppress(FileNotFoundError, NotADirectoryError):
            owner = path.stat().st_uid
            if owner != 0:
                return _account_of(owner)
    return service_account()


def service_account() -> Account:
    """Return the system user that root starts things as; make it if there is none."""
    with suppress(KeyError):
        return _account_named(SERVICE_USER)
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise NoServiceUser(SERVICE_USER, why="there is no useradd")
    command = [program, "--system", "--user-group", "--no-create-home", "--home-dir"]
    command += ["/nonexistent", "--shell", "/usr/sbin/nologin", SERVICE_USER]
    made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 fixed words
    try:
        # Another process may have been faster: what counts is that the user is there.
        return _account_named(SERVICE_USER)
    except KeyError:
        raise NoServiceUser(SERVICE_USER, why=made.stderr.strip()) from None


@contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """Run the body with the account's rights; changes nothing for who has them already.

    The ids are those of the whole process, so no other thread may need root meanwhile. Nor
    can the body import anything where only root reads the code; a codec other than UTF-8 is
    such an import.
    """
    if os.geteuid() != 0:
        yield
        return
    gid, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def make_directory(path: Path, account: Account, *, mode: int = 0o700) -> None:
    """Make a directory for the account, with its parents; one that is there stays as it is.

    An empty directory of root's becomes the account's: so is a scratch home that root made.

    Raises: HomeUnusable, DirectoryClosed.
    """
    try:
        _make_directory(path, account, mode)
    except OSError as error:
        raise HomeUnusable(path, user=account.name, why=error.strerror or str(error)) from error
    check_reachable(path, account)


def check_reachable(path: Path, account: Account) -> None:
    """See that the account may pass through every directory on the way to `path`.

    Raises: DirectoryClosed with the first that is closed to it.
    """
    with acting_as(account):
        for directory in (*reversed(path.parents), path):
            if not os.access(directory, os.X_OK, effective_ids=True):
                raise DirectoryClosed(directory, wanted=path, user=account.name)


def _make_directory(path: Path, account: Account, mode: int) -> None:
    if path.is_dir():
        if os.geteuid() == 0 and path.stat().st_uid == 0 and not any(path.iterdir()):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0 and path.parent.stat().st_uid == 0:
        path.mkdir(mode=mode, exist_ok=True)
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    else:
        with acting_as(account):
            path.mkdir(mode=mode, exist_ok=True)


def _account_named(name: str) -> Account:
    entry = pwd.getpwnam(name)
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _account_of(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        # PostgreSQL looks up its own user, and peer authentication its client's.
        raise NoServiceUser(str(uid), why="the user id has no entry in /etc/passwd") from None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
