# SPDX-License-Identifier: Apache-2.0
"""A load balancer that says whose a connection is, as HAProxy with send-proxy or send-proxy-v2."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from types import TracebackType
from typing import Self

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def header(source: str, *, version: int, port: int = 50022) -> bytes:
    """Return the header of a connection of `source` to some server."""
    place = ip_address(source)
    target = ip_address("192.0.2.1" if place.version == 4 else "2001:db8::1")
    if version == 1:
        return f"PROXY TCP{place.version} {place} {target} {port} 22\r\n".encode()
    block = place.packed + target.packed + struct.pack(">HH", port, 22)
    kind = 0x11 if place.version == 4 else 0x21
    return SIGNATURE + struct.pack(">BBH", 0x21, kind, len(block)) + block


class Balancer:
    """Passes connections on to a port of 127.0.0.1, each behind `first`, until the block ends."""

    def __init__(self, target_port: int, first: bytes) -> None:
        self._target_port = target_port
        self._first = first
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Unlike closing it, this wakes the thread that waits for it.
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in tuple(self._threads):
            thread.join()
        for end in (self._listener, *self._ends):
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target_port))
                server.sendall(self._first)
                self._ends += (client, server)
                self._start(_pass_on, client, server)
                self._start(_pass_on, server, client)

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()


def _pass_on(giver: socket.socket, taker: socket.socket) -> None:
    with suppress(OSError):
        while data := giver.recv(65536):
            taker.sendall(data)
    with suppress(OSError):
        taker.shutdown(socket.SHUT_WR)
