# SPDX-License-Identifier: Apache-2.0
"""A real file system that is soon full: a tmpfs that only one process sees."""

import ctypes
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000


class NoSmallDisk(Exception):
    """Nothing may be mounted on this machine, not even for oneself."""


def on_small_disk(directory: Path, work: Callable[[], object], *, options: str) -> None:
    """Do `work` in a process of its own, in which `directory` is a small empty file system.

    `options` are those of tmpfs, such as ``size=2m``.
    """
    answer, tell = os.pipe()
    process_id = os.fork()
    if process_id == 0:
        os.write(tell, _say(directory, work, options).encode()[-60_000:])
        os._exit(0)
    os.close(tell)
    with os.fdopen(answer, "rb") as said:
        text = said.read().decode()
    os.waitpid(process_id, 0)
    if text.startswith(NoSmallDisk.__name__):
        pytest.skip(text)
    assert text == "ok", text


def _say(directory: Path, work: Callable[[], object], options: str) -> str:
    try:
        _mount(directory, options)
        work()
    except NoSmallDisk as fault:
        return f"{NoSmallDisk.__name__}: {fault}"
    except BaseException:  # noqa: BLE001 - nothing may leave a forked child but its words
        return traceback.format_exc()
    return "ok"


def _mount(directory: Path, options: str) -> None:
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
        raise NoSmallDisk(os.strerror(ctypes.get_errno()))
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError as fault:
        raise NoSmallDisk(fault) from fault
    if libc.mount(b"none", os.fsencode(directory), b"tmpfs", 0, options.encode()) != 0:
        raise NoSmallDisk(os.strerror(ctypes.get_errno()))
