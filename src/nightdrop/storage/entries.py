# SPDX-License-Identifier: Apache-2.0
"""What a district sees of one file or directory, and going through a directory of them."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from nightdrop.core.paths import SERVED, Zone
from nightdrop.storage.confine import is_supported


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file or directory.

    Units:   `mtime` and `atime` are whole seconds since 1970 UTC, as SFTP version 3 has them.
    """

    name: str
    is_directory: bool
    size_bytes: int
    mtime: int
    atime: int
    is_writable: bool


def make_entry(name: str, found: os.stat_result, *, zone: Zone) -> Entry:
    """Describe what was found under a name. In /upload the owner's bit says what is sealed."""
    return Entry(
        name=name,
        is_directory=stat.S_ISDIR(found.st_mode),
        size_bytes=found.st_size,
        mtime=int(found.st_mtime),
        atime=int(found.st_atime),
        is_writable=zone is Zone.UPLOAD and bool(found.st_mode & stat.S_IWUSR),
    )


class Listing(Iterator[Entry]):
    """The entries of one directory, looked at one by one as they are asked for.

    Order:   the file system's; each entry that stays is met exactly once, however the others
             change meanwhile. Links, devices and names that are not UTF-8 are passed over.
    Of a district's own directory (zone ROOT) only the three served ones are shown.
    Close it when it is not read to its end.
    """

    def __init__(self, directory_fd: int, *, zone: Zone) -> None:
        """Take over `directory_fd`, also when this fails."""
        self._zone = zone
        self._directory_fd: int | None = directory_fd
        try:
            self._entries = os.scandir(directory_fd)
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __next__(self) -> Entry:
        while self._directory_fd is not None:
            found = next(self._entries, None)
            if found is None:
                self.close()
                break
            entry = self._look_at(found)
            if entry is not None:
                return entry
        raise StopIteration

    def close(self) -> None:
        """Let go of the directory; the listing is then at its end."""
        descriptor, self._directory_fd = self._directory_fd, None
        if descriptor is None:
            return
        if hasattr(self, "_entries"):
            self._entries.close()
        os.close(descriptor)

    def _look_at(self, found: "os.DirEntry[str]") -> Entry | None:
        if self._zone is Zone.ROOT and found.name not in SERVED:
            return None
        try:
            found.name.encode()
            seen = found.stat(follow_symlinks=False)
        except (UnicodeEncodeError, FileNotFoundError):
            return None
        if not is_supported(seen.st_mode):
            return None
        return make_entry(found.name, seen, zone=self._zone or Zone(found.name))
