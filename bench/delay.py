# SPDX-License-Identifier: Apache-2.0
"""A long way on one machine: passes bytes on after a delay, in both directions.

It keeps whatever is on its way, so that the senders' own windows are what limits them, as
with a network that has bandwidth to spare.

Run: python -m bench.delay PORT SECONDS     prints the port it listens on, ends with its input
"""

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_READ_BYTES: Final = 1024 * 1024


@contextmanager
def delayed(port: int, *, seconds: float) -> Iterator[int]:
    """Put `seconds` between a client and a port, each way; yields the port for the client."""
    command = [sys.executable, "-m", "bench.delay", str(port), str(seconds)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise TypeError("a pipe was asked for")
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def serve(port: int, *, seconds: float) -> None:
    """Pass on every connection; never returns."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port))
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _pass_on(near, far, seconds=seconds)
            _pass_on(far, near, seconds=seconds)


def _pass_on(source: socket.socket, target: socket.socket, *, seconds: float) -> None:
    """Begin to pass on one direction, in two threads."""
    underway: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def read() -> None:
        data = b"more"
        while data:
            try:
                data = source.recv(_READ_BYTES)
            except OSError:
                data = b""
            underway.put((time.monotonic() + seconds, data))

    def write() -> None:
        while True:
            due, data = underway.get()
            time.sleep(max(0.0, due - time.monotonic()))
            with contextlib.suppress(OSError):
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)

    for work in (read, write):
        threading.Thread(target=work, daemon=True).start()


def main(port: int, seconds: float) -> None:
    """Serve until standard input ends."""
    threading.Thread(target=serve, args=(port,), kwargs={"seconds": seconds}, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
