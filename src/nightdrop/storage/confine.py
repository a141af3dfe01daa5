# SPDX-License-Identifier: Apache-2.0
"""Opening directories and files below a directory, without ever leaving it.

Two ways with one outcome: the kernel's ``openat2`` where it has it, else one component at a
time. In both no symbolic link is followed, neither at the end of a path nor on the way. What is
then done to an entry is done relative to the descriptor of its directory, by a single name.

Source:  openat2(2), rename(2), open(2).
"""

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

_SYS_OPENAT2: Final = 437  # the same number on every architecture that Linux 5.6 knew
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_RESOLVE: Final = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
_RENAME_NOREPLACE: Final = 0x01

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A named pipe must not hang who opens it, nor a terminal become ours.
_FILE: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

# CDLL lets other threads run during a call; PyDLL would stop them all on a slow disk.
_libc: Final = ctypes.CDLL(None, use_errno=True)
_syscall: Final[Any] = _libc.syscall
_syscall.restype = ctypes.c_long
_renameat2: Final[Any] = getattr(_libc, "renameat2", None)


class Confinement(StrEnum):
    """How a path is kept below its directory."""

    #: One call; the kernel resolves and refuses.
    OPENAT2 = "openat2"
    #: One component at a time, each opened from the one before.
    WALK = "walk"


class _OpenHow(ctypes.Structure):
    """``struct open_how``: u64 flags, u64 mode, u64 resolve."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def detect_confinement() -> Confinement:
    """Return the better way that this kernel, or its sandbox, allows."""
    if sys.platform != "linux":
        return Confinement.WALK
    try:
        descriptor = _openat2(None, ".")
    except OSError:
        return Confinement.WALK
    os.close(descriptor)
    return Confinement.OPENAT2


def open_directory(root_fd: int, parts: Sequence[str], *, confinement: Confinement) -> int:
    """Open the directory that `parts` lead to from `root_fd`.

    Returns: a descriptor, which the caller closes.
    Raises:  OSError: ELOOP for a link anywhere on the way, ENOTDIR for a file, ENOENT.
    """
    if not parts:
        return os.open(".", _DIRECTORY, dir_fd=root_fd)
    if confinement is Confinement.OPENAT2:
        return _openat2(root_fd, "/".join(parts))
    return _walk(root_fd, parts)


def open_file(directory_fd: int, name: str, flags: int) -> int:
    """Open the regular file `name` of a directory; a new one gets mode 0600.

    Returns: a descriptor, which the caller closes.
    Raises:  OSError: ELOOP for a link, ENXIO for anything else that is no regular file,
             EISDIR for a directory.
    """
    descriptor = os.open(name, flags | _FILE, 0o600, dir_fd=directory_fd)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    code = errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO
    raise OSError(code, os.strerror(code), name)


def stat_entry(directory_fd: int, name: str) -> os.stat_result:
    """Look at the entry `name` of a directory.

    Raises:  OSError: ENXIO for what is neither a regular file nor a directory, ENOENT.
    """
    found = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    if is_supported(found.st_mode):
        return found
    raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), name)


def is_supported(mode: int) -> bool:
    """Say whether something is of the two kinds that exist for us: files and directories."""
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def rename_new(source_fd: int, old: str, target_fd: int, new: str) -> None:
    """Rename `old` of one directory to `new` of another, where nothing may be yet.

    Where the file system cannot promise that in one step, it is looked up first: two sessions
    of one district could then still meet.

    Raises:  OSError: EEXIST when something is there.
    """
    try:
        _rename_noreplace(source_fd, old, target_fd, new)
    except OSError as fault:
        if fault.errno not in {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}:
            raise
    else:
        return
    if exists(target_fd, new):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    os.rename(old, new, src_dir_fd=source_fd, dst_dir_fd=target_fd)


def exists(directory_fd: int, name: str) -> bool:
    """Say whether a directory has an entry of this name, of whatever kind."""
    try:
        os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def list_names(directory_fd: int) -> list[str]:
    """Return the names of all entries of a directory, of whatever kind."""
    with os.scandir(directory_fd) as entries:
        return [entry.name for entry in entries]


def _walk(root_fd: int, parts: Sequence[str]) -> int:
    descriptor = os.dup(root_fd)
    try:
        for part in parts:
            inner = _open_step(descriptor, part)
            os.close(descriptor)
            descriptor = inner
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_step(directory_fd: int, name: str) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=directory_fd)
    except NotADirectoryError:
        found = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from None
        raise


def _openat2(root_fd: int | None, path: str) -> int:
    # Without O_NOFOLLOW, by which a link would be told as "no directory".
    how = _OpenHow(flags=_DIRECTORY & ~os.O_NOFOLLOW, mode=0, resolve=_RESOLVE)
    at_cwd = -100  # AT_FDCWD
    while True:
        descriptor: int = _syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(at_cwd if root_fd is None else root_fd),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if descriptor >= 0:
            return descriptor
        code = ctypes.get_errno()
        # EAGAIN: something was renamed during the look-up and the kernel could not be sure.
        if code not in {errno.EINTR, errno.EAGAIN}:
            raise OSError(code, os.strerror(code), path)


def _rename_noreplace(source_fd: int, old: str, target_fd: int, new: str) -> None:
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    outcome: int = _renameat2(
        ctypes.c_int(source_fd),
        ctypes.c_char_p(os.fsencode(old)),
        ctypes.c_int(target_fd),
        ctypes.c_char_p(os.fsencode(new)),
        ctypes.c_uint(_RENAME_NOREPLACE),
    )
    if outcome != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), old, None, new)
