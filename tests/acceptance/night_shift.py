# SPDX-License-Identifier: Apache-2.0
"""`nightdrop serve` without the console, whose parts can be made to wait at a point.

``python night_shift.py DIRECTORY [USER]``: settings come from the environment as always. Each
process of a part makes a file ``PART.PID`` in DIRECTORY. With USER, root prepares the home for
that user and then becomes it, once all code has been read: it may lie where the user cannot read.
"""

import os
import pwd
import sys
from dataclasses import replace
from pathlib import Path

from nightdrop.cli.main import set_up_django

set_up_django()

from nightdrop.jobs import recovery  # noqa: E402 - the parts need Django set up

# A dead worker is found out by its silence, for which these tests need not wait that long.
recovery.STALLED_SECONDS = 3.0
recovery.RECOVERY_SECONDS = 1

from acceptance.points import install_points  # noqa: E402 - as above
from nightdrop.cli.logs import configure_logging  # noqa: E402
from nightdrop.cli.part_process import Part  # noqa: E402
from nightdrop.cli.serve import PARTS, bring_up_to_date, run_serve  # noqa: E402
from nightdrop.cli.supervisor import Backoff  # noqa: E402
from nightdrop.config import Config, load_config  # noqa: E402
from nightdrop.db.embedded import EmbeddedPostgres  # noqa: E402
from nightdrop.jobs import main as worker  # noqa: E402

#: Kills follow each other closely here; whoever waits for them should not wait for this.
BACKOFF = Backoff(first_seconds=0.05, most_seconds=0.1)


def main(directory: Path, user: str | None) -> int:
    """Serve until a signal comes."""
    worker.HEARTBEAT_SECONDS = 0.5
    config = load_config()
    configure_logging(config, "serve")
    parts = [_observed(PARTS[name], directory) for name in ("sftp", "worker")]
    if user is None:
        return run_serve(config, parts=parts, backoff=BACKOFF)
    for part in parts:
        part.preload()
    _prepare_and_become(config, pwd.getpwnam(user))
    return run_serve(config, parts=parts, backoff=BACKOFF, prepare_database=lambda _: None)


def _observed(part: Part, directory: Path) -> Part:
    def set_up() -> None:
        part.set_up()
        install_points(directory)
        (directory / f"{part.name}.{os.getpid()}").touch()

    return replace(part, set_up=set_up)


def _prepare_and_become(config: Config, user: pwd.struct_passwd) -> None:
    child = os.fork()
    if child == 0:
        # A connection made here must not be the parts'.
        with EmbeddedPostgres(config.home).attach():
            bring_up_to_date(config)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit("the home could not be prepared")
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
