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
from typing import Final, cast

import structlog

from nightdrop.cli.errors import explain
from nightdrop.cli.listening import Listeners
from nightdrop.cli.logs import configure_logging
from nightdrop.cli.privileges import drop_privileges
from nightdrop.config import Config
from nightdrop.core.errors import Refusal
from nightdrop.db.embedded_account import Account

_log = structlog.get_logger()

#: How a part ends that cannot do what it was asked, having said why: trying again is vain.
REFUSED: Final = 1
#: How a part ends that met an error it did not foresee.
CRASHED: Final = 70

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

Announce = Callable[[str, int], None]


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
    #: Gives the number of its processes; without it there is one.
    count: Callable[[Config], int] | None = None
    #: Whether one home may have it only once.
    is_single: bool = True

    def process_names(self, config: Config) -> tuple[str, ...]:
        """Return a name for each process: ``web``, or ``sftp-1``, ``sftp-2`` and so on."""
        if self.count is None:
            return (self.name,)
        return tuple(f"{self.name}-{number + 1}" for number in range(self.count(config)))

    def preload(self) -> None:
        """Import the part, and all that it would import later."""
        module = importlib.import_module(self.module)
        getattr(module, f"preload_{self.name}")()

    def run(self, config: Config, *, listeners: Listeners, announce: Announce) -> int:
        """Run the part in this process until SIGTERM; return the exit status.

        A part that has no port is not told of listeners.
        """
        run = getattr(importlib.import_module(self.module), f"run_{self.name}")
        given = {"listeners": listeners} if listeners else {}
        return cast("int", run(config, **given, announce=announce))


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
    name: str,
    account: Account,
    listeners: Listeners,
    announce_to: int,
    close: Sequence[int],
) -> int:
    """Start one process of a part as a child, with the account's rights. Returns its pid.

    What the part announces is written to the descriptor `announce_to`, a line each:
    ``NAME PORT``. The descriptors in `close` are this process's own and no child's.
    """

    def announce(announced: str, port: int) -> None:
        os.write(announce_to, f"{announced} {port}\n".encode("ascii"))

    def run() -> int:
        part.set_up()
        drop_privileges(account)
        _die_with(parent)
        return part.run(config, listeners=listeners, announce=announce)

    parent = os.getpid()
    return fork_child(name, run, config=config, close=close)


def fork_child(
    name: str, run: Callable[[], int], *, config: Config, close: Sequence[int] = ()
) -> int:
    """Run a function in a child process that ends with what it returns. Returns the pid.

    Its log lines have `name`, and the kernel's lists of processes show it as ``nd-<name>``.
    """
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
        _call_itself(f"nd-{name}")
        configure_logging(config, name)
        status = run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Refusal as refusal:
        sys.stderr.write(f"nightdrop: {explain(refusal)}\n")
        status = REFUSED
    except BaseException:  # noqa: BLE001 nothing may return into the supervisor's code
        _log.exception("crashed")
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _call_itself(name: str) -> None:
    """Set the name that `ps` and `top` show; the kernel keeps 15 letters."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode("ascii"), 0, 0, 0)


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
