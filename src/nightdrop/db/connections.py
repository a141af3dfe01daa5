# SPDX-License-Identifier: Apache-2.0
"""Which role a process connects as.

Code chooses a role by naming an alias, and each alias is named in one place: "default"
is the application's role, "operator" is named by `db.access`, and the owner's exists only
inside `owner_connection`, which the migrate command calls. No variable turns one role
into another, so a process that serves districts cannot be started as the owner.

With an external database, a process has an alias only if it was given that role's URL.
The embedded PostgreSQL trusts the operating system's user, who is one for all parts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import connections

from nightdrop.config import Config
from nightdrop.db.embedded import connection_params
from nightdrop.db.embedded_refusals import RoleUrlMissing
from nightdrop.db.roles import Role

#: The alias of the role that owns the tables, inside `owner_connection`.
OWNER: Final = "owner"

_SERVING: Final = {"default": Role.APP, "operator": Role.OPERATOR}
#: Connections that outlive a request. One that cannot be had in `timeout` seconds is
#: refused, so that a page says that the database is away while its reader still waits.
#: A pool that has failed to connect tries again after pauses that double; it gives up after
#: `reconnect_timeout`, or it would stay away for as long again as the database was.
_POOL: Final = {"min_size": 0, "max_size": 8, "timeout": 2, "reconnect_timeout": 2}


def django_databases(config: Config) -> dict[str, dict[str, Any]]:
    """Return Django's DATABASES: the serving roles whose credentials are here."""
    found: dict[str, dict[str, Any]] = {}
    for alias, role in _SERVING.items():
        try:
            entry = _entry(config, role)
        except RoleUrlMissing:
            continue
        entry["OPTIONS"]["pool"] = dict(_POOL)
        found[alias] = entry
    return found


@contextmanager
def owner_connection(config: Config) -> Iterator[str]:
    """Lend this process the owner's role for as long as the block lasts.

    Returns: the alias to name.
    Raises:  RoleUrlMissing.
    """
    # What Django fills in for every database is taken from the one that it has filled in.
    connections.settings[OWNER] = {**connections.settings["default"], **_entry(config, Role.OWNER)}
    try:
        yield OWNER
    finally:
        connections[OWNER].close()
        del connections[OWNER]
        del connections.settings[OWNER]


def _entry(config: Config, role: Role) -> dict[str, Any]:
    entry: dict[str, Any] = connection_params(config, role).django()
    # A pooled connection may be from before the database was restarted.
    return {**entry, "OPTIONS": dict(entry["OPTIONS"]), "CONN_HEALTH_CHECKS": True}
