# SPDX-License-Identifier: Apache-2.0
"""granian on a socket of ours.

Left alone, each worker of granian opens the port for itself and shares it with whoever
else does the same. Then nobody can say which port "any free one" became, a second
Nightdrop on the same port goes unnoticed, and a worker that dies takes the connections
with it that were waiting for it. One socket, opened before the workers are forked, mends
all three (see `cli.listening`); granian itself does so where the port cannot be shared.
"""

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined] # not in its __all__
from granian.server.mp import MPServer

Application = Callable[..., object]

_BACKLOG: Final = 1024
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


class ConsoleServer(MPServer):
    """A master process that keeps `workers` forked processes serving."""

    def __init__(
        self, application: Application, *, listener: socket.socket, workers: int, threads: int
    ) -> None:
        # Workers must be forks: they serve with the code that this process has loaded.
        multiprocessing.set_start_method("fork", force=True)
        address, port, *_ = listener.getsockname()
        super().__init__(
            "nightdrop",  # a name for its log; the application is handed over in `run`
            address=address,
            port=port,
            interface=Interfaces.WSGI,
            workers=workers,
            blocking_threads=threads,
            backlog=_BACKLOG,
            websockets=False,
            respawn_failed_workers=True,
            workers_kill_timeout=20,
            # Not its warnings: it advises against threads that mostly wait for a database.
            log_level=LogLevels.error,
            # Through the root logger, as everything else; granian would write to stdout.
            log_dictconfig={
                "incremental": True,
                "formatters": {},
                "handlers": {},
                "loggers": {"_granian": {"propagate": True}},
            },
        )
        self._application = application
        self._listener = listener

    def _init_shared_socket(self) -> None:
        """Hand our socket to the workers, as granian does with its own on macOS."""
        descriptor = self._listener.fileno()
        self._sso = self._listener
        self._sfd = descriptor  # type: ignore[assignment] # typed by its first value, None
        holder = SocketHolder(descriptor, False, _BACKLOG)  # type: ignore[call-arg] # noqa: FBT003
        self._shd = holder  # type: ignore[assignment] # as above

    def run(self) -> int:
        """Serve until a signal comes. Returns an exit status."""
        try:
            loader = partial(_begin_worker, self._application, master=os.getpid())
            self.serve(target_loader=loader, wrap_loader=False)
        except SystemExit as end:
            return int(end.code or 0)
        return 0


def _begin_worker(application: Application, *, master: int) -> Application:
    """Return the application, in a worker that will not outlive its master."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != master:
        raise SystemExit(1)
    return application
