# SPDX-License-Identifier: Apache-2.0
"""Libraries of other languages, each with a small program of ours that takes steps as JSON.

Shape:  in ``{"host", "port", "username", "key", "steps": [{"do": "put", "local", "remote"},
        ...]}``; out a list of names for each ``list``.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from sftp.interop.client_steps import Client, Listings, Step, Visitor, give_up, run_program

_PROGRAMS = Path(__file__).with_name("programs")


class Foreign(Client):
    """One run of the program is one session."""

    command: ClassVar[Sequence[str | Path]]

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        told = [{"do": type(step).__name__, **asdict(step)} for step in steps]
        request = {
            "host": "127.0.0.1",
            "port": visitor.port,
            "username": visitor.username,
            "key": str(visitor.key),
            "openssh": visitor.openssh_options,
            "steps": told,
        }
        printed = run_program(self.command, visitor, script=json.dumps(request, default=str))
        listings: Listings = json.loads(printed)
        return listings


class NodeSsh2(Foreign):
    """`ssh2-sftp-client`, over ssh2 in JavaScript alone."""

    name = "node-ssh2"
    needs = {"node": "nodejs"}
    #: Where tools/system-packages has npm put what package-lock.json names.
    modules = Path(sys.prefix, "node", "node_modules")
    command = ("node", _PROGRAMS / "node_client.js", modules)

    def require(self) -> None:
        super().require()
        if not self.modules.joinpath("ssh2-sftp-client").is_dir():
            give_up("ssh2-sftp-client is not here; run tools/system-packages")


class NetSftpForeign(Foreign):
    """Perl's `Net::SFTP::Foreign`, which speaks SFTP itself through OpenSSH's `ssh`."""

    name = "perl-foreign"
    needs = {"perl": "perl", "ssh": "openssh-client"}
    command = ("perl", _PROGRAMS / "net_sftp_foreign.pl")

    def require(self) -> None:
        super().require()
        if not Path("/usr/share/perl5/Net/SFTP/Foreign.pm").is_file():
            give_up("Net::SFTP::Foreign is not here; install libnet-sftp-foreign-perl")


class Phpseclib(Foreign):
    """SSH and SFTP in PHP alone."""

    name = "phpseclib"
    needs = {"php": "php-cli"}
    library = Path("/usr/share/php/phpseclib3/autoload.php")
    command = ("php", _PROGRAMS / "phpseclib_client.php", library)

    def require(self) -> None:
        super().require()
        if not self.library.is_file():
            give_up("phpseclib is not here; install php-phpseclib3")
