# SPDX-License-Identifier: Apache-2.0
"""A running `serve` with small parts, and what it says."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nightdrop.config import Config, load_config

_HERE = Path(__file__).parent
_PATIENCE_SECONDS = 60


@dataclass(slots=True)
class Serving:
    """A `serve` in a process of its own."""

    process: subprocess.Popen[str]
    config: Config
    said: list[str] = field(default_factory=list)
    _unused: list[dict[str, Any]] = field(default_factory=list)

    def wait_for(self, event: str, **facts: object) -> dict[str, Any]:
        """Read what it says up to a line with this event and these facts."""
        wanted = {"event": event, **facts}
        for position, earlier in enumerate(self._unused):
            if wanted.items() <= earlier.items():
                return self._unused.pop(position)
        assert self.process.stderr is not None
        for text in self.process.stderr:
            self.said.append(text)
            if text.startswith("{"):
                line: dict[str, Any] = json.loads(text)
                if wanted.items() <= line.items():
                    return line
                self._unused.append(line)
        pytest.fail(f"it ended without {wanted}:\n{''.join(self.said)}")

    def port(self, name: str) -> int:
        """Wait until a part listens, and return its port."""
        return int(self.wait_for("listens", listener=name)["port"])

    def end(self) -> int:
        """Wait for the end and return the exit status."""
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)
        return self.process.wait()

    def stop(self) -> int:
        """Ask it to stop, and wait."""
        self.process.send_signal(signal.SIGTERM)
        return self.end()


class Served:
    """Starts `serve` in one home, more than once if need be."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.home = home
        self._stack = stack

    def beside(self) -> "Served":
        """Return what starts `serve` in another home."""
        return Served(self.home.with_name("other"), self._stack)

    def start(
        self,
        *,
        program: str = "tiny_parts.py",
        environ: dict[str, str] | None = None,
        **options: object,
    ) -> Serving:
        """Start it with options of the program and more settings."""
        own = {name: value for name, value in os.environ.items() if "NIGHTDROP_" not in name}
        settings = {
            "NIGHTDROP_HOME": str(self.home),
            "NIGHTDROP_SFTP_PORT": "0",
            "NIGHTDROP_SFTP_WORKERS": "1",
            "NIGHTDROP_WEB_PORT": "0",
            "NIGHTDROP_LOG_FORMAT": "json",
            **(environ or {}),
        }
        process = self._stack.enter_context(
            subprocess.Popen(
                [sys.executable, str(_HERE / program), json.dumps(options)],
                env={**own, **settings},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        self._stack.callback(process.kill)
        return Serving(process, load_config(settings))


def stop_process(pid: int) -> None:
    """Let a process stand still; return when it does."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """Connect to a part."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        yield connection


def who_listens(port: int) -> dict[str, Any]:
    """Ask a tiny part what process it is."""
    with connected(port) as connection, connection.makefile("rb") as stream:
        told = stream.read().decode()
    answer: dict[str, Any] = json.loads(told[told.index("{") :])
    return answer
