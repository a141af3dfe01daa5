# SPDX-License-Identifier: Apache-2.0
"""Keeps the processes of parts running: starts each again on any end, and stops all in order.

One thread, which waits for a signal, for a port that a process announces, or for a time that
has come. Everything slow is done by children.

A process that is sent SIGTERM finishes what it does, and a new one takes its place; meanwhile
others of its part take the connections, or these wait. So each can be renewed, and no client
is refused. A new process is a copy of this one: it has the same settings and the same code.
"""

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

import structlog

from nightdrop.cli.listening import Listeners, close_ports, port_settings
from nightdrop.cli.part_process import REFUSED, Part, fork_part
from nightdrop.config import Config
from nightdrop.db.embedded_account import Account

_log = structlog.get_logger()

#: How long parts may finish what they do before they are killed.
GRACE_SECONDS: Final = 30.0
_TICK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before a part that ended is started again."""

    first_seconds: float = 1.0
    most_seconds: float = 30.0
    healthy_seconds: float = 60.0

    def next_wait(self, before_seconds: float, *, ran_seconds: float) -> float:
        """Double the wait of last time; begin anew after a part that ran long enough."""
        if before_seconds == 0 or ran_seconds >= self.healthy_seconds:
            return self.first_seconds
        return min(before_seconds * 2, self.most_seconds)


class Signals:
    """The signals that a supervisor obeys, made into something that it can wait for."""

    def __init__(self) -> None:
        self.stop_requests = 0
        self.reader, self._writer = os.pipe()
        for descriptor in (self.reader, self._writer):
            os.set_blocking(descriptor, False)

    @contextmanager
    def installed(self) -> Iterator["Signals"]:
        """Count SIGTERM and SIGINT, and wake up for the end of a child."""
        handlers = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._stop),
                (signal.SIGINT, self._stop),
                (signal.SIGHUP, signal.SIG_IGN),
                (signal.SIGCHLD, self._wake),
            )
        }
        before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        try:
            yield self
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(self.reader)
            os.close(self._writer)

    @property
    def descriptors(self) -> tuple[int, int]:
        """What no child may keep open."""
        return (self.reader, self._writer)

    def clear(self) -> None:
        """Take what woke us up."""
        with suppress(BlockingIOError):
            while os.read(self.reader, 4096):
                pass

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1

    def _wake(self, _number: int, _frame: FrameType | None) -> None:
        """Exist: without a handler the signal would not reach the wake-up descriptor."""


@dataclass(slots=True)
class _Child:
    """One process of a part, or the time at which it is started again."""

    part: Part
    name: str
    pid: int | None = None
    reader: int | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    wait_seconds: float = 0.0
    is_ready: bool = False
    was_ready: bool = False
    unread: bytes = field(default=b"")


class Supervisor:
    """Runs the processes of parts until a signal comes.

    `listeners` are the sockets that clients may connect to already; they are closed at the
    end. `on_port` is called once for each port that is announced, with a name and the port;
    `on_tick` about once a second.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        config: Config,
        account: Account,
        signals: Signals,
        listeners: Listeners,
        on_port: Callable[[str, int], None],
        on_tick: Callable[[], None],
        private: Sequence[int] = (),
        backoff: Backoff = Backoff(),
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._children: Final = [
            _Child(part, name) for part in parts for name in part.process_names(config)
        ]
        self._config: Final = config
        self._account: Final = account
        self._signals: Final = signals
        self._listeners: Final = listeners
        self._on_port: Final = on_port
        self._on_tick: Final = on_tick
        self._private: Final = private
        self._backoff: Final = backoff
        self._grace_seconds: Final = grace_seconds
        self._selector: Final = selectors.DefaultSelector()
        self._ports: Final[dict[str, int]] = {}

    def run(self) -> int:
        """Keep the parts running. Returns 0 after a signal, 1 when a part refused to start."""
        self._selector.register(self._signals.reader, selectors.EVENT_READ)
        try:
            while not self._signals.stop_requests:
                self._start_due()
                self._wait(_TICK_SECONDS)
                if not self._reap():
                    return REFUSED
                self._on_tick()
            return 0
        finally:
            self._stop_all()
            self._selector.close()

    def _start_due(self) -> None:
        for child in self._children:
            if child.pid is None and time.monotonic() >= child.due_at:
                self._start(child)

    def _start(self, child: _Child) -> None:
        reader, writer = os.pipe()
        # Processes that a part made may hold the other end when the part has ended.
        os.set_blocking(reader, False)
        settings = port_settings(child.part.name)
        own = {name: self._listeners[name] for name in settings if name in self._listeners}
        others = [other.reader for other in self._children if other.reader is not None]
        others += [
            listener.fileno() for name, listener in self._listeners.items() if name not in own
        ]
        child.pid = fork_part(
            child.part,
            self._config,
            name=child.name,
            account=self._account,
            listeners=own,
            announce_to=writer,
            close=(
                reader,
                *others,
                *self._signals.descriptors,
                *self._private,
                self._selector.fileno(),
            ),
        )
        os.close(writer)
        child.reader, child.unread, child.is_ready = reader, b"", False
        child.started_at = time.monotonic()
        self._selector.register(reader, selectors.EVENT_READ, child)

    def _wait(self, seconds: float) -> None:
        now = time.monotonic()
        waits = [child.due_at - now for child in self._children if child.pid is None]
        timeout = max(0.0, min([seconds, *waits]))
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, _Child):
                self._read(key.data)
            else:
                self._signals.clear()

    def _read(self, child: _Child) -> None:
        """Read what a process announced; one that ended closes its pipe."""
        if child.reader is None:
            return
        try:
            read = os.read(child.reader, 4096)
        except BlockingIOError:
            return
        if not read:
            self._forget_pipe(child)
        *lines, child.unread = (child.unread + read).split(b"\n")
        for line in lines:
            name, port = line.decode("ascii").split()
            if not child.is_ready:
                child.is_ready = child.was_ready = True
                _log.info("part-ready", ready=child.name, pid=child.pid)
            if int(port) and self._ports.get(name) != int(port):
                self._ports[name] = int(port)
                self._on_port(name, int(port))

    def _forget_pipe(self, child: _Child) -> None:
        if child.reader is not None:
            self._selector.unregister(child.reader)
            os.close(child.reader)
            child.reader = None

    def _reap(self) -> bool:
        """Take the ends of processes. Returns False when one refused its very first start."""
        for child in self._children:
            if child.pid is None:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            self._read(child)
            self._forget_pipe(child)
            child.pid = None
            code = os.waitstatus_to_exitcode(status)
            if code == REFUSED and not child.was_ready:
                return False
            self._put_off(child, code)
        return True

    def _put_off(self, child: _Child, code: int) -> None:
        now = time.monotonic()
        ran_seconds = now - child.started_at
        child.wait_seconds = self._backoff.next_wait(child.wait_seconds, ran_seconds=ran_seconds)
        child.due_at = now + child.wait_seconds
        # Below zero it is the number of the signal that ended it.
        _log.warning(
            "part-ended",
            ended=child.name,
            status=code,
            ran_seconds=round(ran_seconds, 1),
            again_in_seconds=child.wait_seconds,
        )

    def _stop_all(self) -> None:
        """Ask all processes to end; kill who has not in time, or at a second request."""
        # Nobody may connect and wait for a process that will not come.
        close_ports(self._listeners)
        self._kill_all(signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        while any(child.pid for child in self._children):
            is_late = time.monotonic() > deadline
            if is_late or self._signals.stop_requests > 1:
                self._kill_all(signal.SIGKILL)
            for key, _ in self._selector.select(0.1):
                if isinstance(key.data, _Child):
                    self._forget_pipe(key.data)
                else:
                    self._signals.clear()
            self._reap_stopped()

    def _reap_stopped(self) -> None:
        for child in self._children:
            if child.pid and os.waitpid(child.pid, os.WNOHANG)[0]:
                self._forget_pipe(child)
                child.pid = None

    def _kill_all(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.pid:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, number)
