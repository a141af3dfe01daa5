# SPDX-License-Identifier: Apache-2.0
"""One part of Nightdrop, as a process of its own.

A part is forked from a process that has imported all it needs, so that it can run as a
user who may not read the directory the code lies in.
"""

import contextlib
import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

import structlog

from nightdrop.cli.logs import configure_logging
from nightdrop.cli.privileges import drop_privileges
from nightdrop.config import Config
from nightdrop.db.embedded_account import Account

_log = structlog.get_logger()

#: How a part ends that cannot do what it was asked, having said why: trying again is vain.
REFUSED: Final = 1
#: How a part ends that met an error it did not foresee.
CRASHED: Final = 70

_PR_SET_PDEATHSIG: Final = 1
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

Announce = Callable[[str, int], None]


class Run(Protocol):
    """What `run_sftp`, `run_web` and `run_worker` are."""

    def __call__(self, config: Config, *, announce: Announce) -> int:
        """Work until SIGTERM; return the exit status."""


def _nothing() -> None:
    """Stand for a part that needs no setting up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Where a part is found: `module` has ``run_<name>`` and ``preload_<name>``.

    It is named and not imported: `cli` stands beside the parts and not above them.
    """

    name: str
    module: str
    #: What its process does first, while nothing else has been done.
    set_up: Callable[[], None] = _nothing

    def port(self, config: Config) -> int:
        """Return the port that the settings give this part; 0 for any free one, or none."""
        return int(getattr(config, f"{self.name}_port", 0))

    def preload(self) -> None:
        """Import the part, and all that it would import later."""
        module = importlib.import_module(self.module)
        getattr(module, f"preload_{self.name}")()

    def run(self, config: Config, announce: Announce) -> int:
        """Run the part in this process, until it ends."""
        module = importlib.import_module(self.module)
        return cast("Run", getattr(module, f"run_{self.name}"))(config, announce=announce)


def keep_buffers() -> None:
    """Let glibc keep the memory of big packets instead of giving it back after each.

    Without it the same upload takes 1.4 or 4.5 seconds a GiB, by chance. This has the
    effect of MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_, which are read only when a
    program is started.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 64 * 1024 * 1024)
        libc.mallopt(_M_TRIM_THRESHOLD, 256 * 1024 * 1024)


def fork_part(
    part: Part,
    config: Config,
    *,
    account: Account,
    announce_to: int,
    close: Sequence[int],
) -> int:
    """Start a part as a child of this process, with the account's rights. Returns its pid.

    What the part announces is written to the descriptor `announce_to`, a line each:
    ``NAME PORT``. The descriptors in `close` are this process's own and no child's.
    """

    def announce(name: str, port: int) -> None:
        os.write(announce_to, f"{name} {port}\n".encode("ascii"))

    def run() -> int:
        part.set_up()
        drop_privileges(account, port=part.port(config))
        _die_with(parent)
        return part.run(config, announce)

    parent = os.getpid()
    return fork_child(part.name, run, config=config, close=close)


def fork_child(
    name: str, run: Callable[[], int], *, config: Config, close: Sequence[int] = ()
) -> int:
    """Run a function in a child process that ends with what it returns. Returns the pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = CRASHED
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        # A Ctrl-C at the terminal is for the supervisor, who tells its children in order.
        os.setpgid(0, 0)
        for descriptor in close:
            os.close(descriptor)
        configure_logging(config, name)
        status = run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 nothing may return into the supervisor's code
        _log.exception("crashed")
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its supervisor is gone, even by SIGKILL.

    It is killed at once and not asked: whoever starts the supervisor again must find the
    ports free. Call it last, because a change of user undoes it.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(CRASHED)
