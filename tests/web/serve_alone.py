# SPDX-License-Identifier: Apache-2.0
"""A console in a process of its own, for `test_main`: tells its port, then serves.

Started by root it gives up its rights first, as `nightdrop serve` makes it do. Where the
code lies in a directory that is closed to others, the tests then show that it is not needed.
"""

import os
import sys

from nightdrop.cli.listening import bind_ports, open_ports
from nightdrop.config import load_config
from nightdrop.web.main import preload_web, run_web

#: "nobody" on Linux; needs no entry in any file.
NOBODY = 65534


def _announce(part: str, port: int) -> None:
    sys.stdout.write(f"{part} {port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    config = load_config()
    listeners = bind_ports(config, ["web"])
    open_ports(config, listeners)
    if os.geteuid() == 0:
        preload_web()
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    sys.exit(run_web(config, listeners=listeners, announce=_announce))
