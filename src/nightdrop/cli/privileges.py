# SPDX-License-Identifier: Apache-2.0
"""What a start makes ready in HOME and in the tree, and how a part gives up root's rights."""

import os
import secrets
from contextlib import suppress
from typing import Final

from nightdrop.config import Config, read_secret_key
from nightdrop.db.embedded_account import Account, acting_as, make_directory, server_account
from nightdrop.db.embedded_refusals import HomeUnusable
from nightdrop.storage.tree import Tree

#: What the parts write below HOME; the mode of each.
_DIRECTORIES: Final = {"journal": 0o700, "snapshot": 0o700, "static": 0o755, "run": 0o755}


def prepare_places(config: Config) -> Account:
    """Make HOME's directories, the tree and the secret key, all as the parts' own user.

    Returns: the user that the parts run as.
    Raises:  HomeUnusable, DirectoryClosed, NoServiceUser.
    """
    account = server_account(config.home)
    make_directory(config.home, account, mode=0o750)
    for name, mode in _DIRECTORIES.items():
        make_directory(config.home / name, account, mode=mode)
    make_directory(config.tree, account)
    with acting_as(account):
        try:
            Tree(config.tree).prepare()
            _make_secret_key(config)
        except OSError as error:
            why = error.strerror or str(error)
            raise HomeUnusable(config.tree, user=account.name, why=why) from error
    return account


def drop_privileges(account: Account) -> None:
    """Become the account for good, with none of root's rights left.

    Does nothing when root did not start this process. Call it before any thread is made.
    """
    if os.geteuid() != 0:
        return
    # Its other groups too: a shared tree may be open to one of them.
    os.initgroups(account.name, account.gid)
    os.setgid(account.gid)
    os.setuid(account.uid)
    os.umask(0o027)


def _make_secret_key(config: Config) -> None:
    """Make the secret once for all nodes: the first to link its own into place wins."""
    if read_secret_key(config) is not None:
        return
    own = config.secret_key_file.with_name(f"secret_key.{secrets.token_hex(8)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(64) + "\n")
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(own, config.secret_key_file)
    own.unlink()
