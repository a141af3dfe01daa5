# SPDX-License-Identifier: Apache-2.0
"""What asyncssh is told about a connection."""

from functools import partial
from typing import Final

import asyncssh

from nightdrop.sftp.algorithms import CIPHERS, SIGNATURES, Profile, choose_key_exchanges
from nightdrop.sftp.hostkeys import HostKeys
from nightdrop.sftp.visit import House, Visit

#: A client that does not answer this many questions, so far apart, is gone.
_KEEPALIVE_SECONDS: Final = 30
_KEEPALIVE_COUNT: Final = 3


def make_options(
    house: House, keys: HostKeys, *, profile: Profile
) -> asyncssh.SSHServerConnectionOptions:
    """Return the options of new connections, everything named: asyncssh's are permissive."""
    keys = keys.of(profile.host_keys)
    options = asyncssh.SSHServerConnectionOptions(
        server_factory=partial(Visit, house),
        server_host_keys=list(keys.keys),
        send_server_host_keys=True,
        server_version="Nightdrop",
        kex_algs=choose_key_exchanges(profile),
        encryption_algs=CIPHERS,
        mac_algs=profile.macs,
        signature_algs=SIGNATURES,
        compression_algs=["none"],
        encoding=None,
        login_timeout=house.config.login_grace_seconds,
        keepalive_interval=_KEEPALIVE_SECONDS,
        keepalive_count_max=_KEEPALIVE_COUNT,
        allow_pty=False,
        line_editor=False,
        agent_forwarding=False,
        x11_forwarding=False,
        gss_host=None,
        gss_kex=False,
        gss_auth=False,
        host_based_auth=False,
        password_auth=False,
        kbdint_auth=False,
        allow_scp=False,
        rdns_lookup=False,
    )
    # In the place of what asyncssh makes of the keys, which signs with SHA-1 as well.
    options.server_host_keys = keys.signers()
    options.all_server_host_keys = keys.provers()
    return options
