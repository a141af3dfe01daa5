# SPDX-License-Identifier: Apache-2.0
"""Killing a process just before its n-th call that changes something on disk."""

import fcntl
import itertools
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nightdrop.storage import confine

#: Everything through which storage/ changes, locks or makes durable what is on the disk.
CALLS: tuple[tuple[Any, str], ...] = (
    *(
        (os, name)
        for name in (
            "close",
            "fchmod",
            "fsync",
            "ftruncate",
            "mkdir",
            "open",
            "pwrite",
            "pwritev",
            "rename",
            "rmdir",
            "unlink",
            "utime",
            "write",
        )
    ),
    (fcntl, "flock"),
    (confine, "_rename_noreplace"),
)


@contextmanager
def watched_calls(before: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    """Call `before` with the name and arguments of each of CALLS before it is made."""
    originals = [(owner, name, getattr(owner, name)) for owner, name in CALLS]

    def watch(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - stands for any of CALLS
            before(name, args)
            return original(*args, **options)

        return call

    for owner, name, original in originals:
        setattr(owner, name, watch(name, original))
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def run_killed(work: Callable[[], object], *, before_call: int) -> bool:
    """Do `work` in a process of its own and SIGKILL that before its n-th call.

    Returns: whether it was killed; False when it ended by itself before.
    """
    process_id = os.fork()
    if process_id == 0:
        _work_and_die(work, before_call=before_call)
    _, status = os.waitpid(process_id, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def _work_and_die(work: Callable[[], object], *, before_call: int) -> None:
    numbers = itertools.count(1)

    def before(_name: str, _args: tuple[Any, ...]) -> None:
        if next(numbers) == before_call:
            os.kill(os.getpid(), signal.SIGKILL)

    status = 1
    try:
        with watched_calls(before):
            work()
        status = 0
    except BaseException:  # noqa: BLE001 - nothing may leave a forked child but its status
        traceback.print_exc()
    finally:
        os._exit(status)


def every_kill(prepare: Callable[[], None], work: Callable[[], object]) -> Iterator[int]:
    """Prepare afresh, kill `work` before its first call; again before its second; and so on.

    Yields after each kill, and once more after `work` was let live: then it ends.
    """
    for before_call in itertools.count(1):
        prepare()
        is_killed = run_killed(work, before_call=before_call)
        yield before_call
        if not is_killed:
            return
