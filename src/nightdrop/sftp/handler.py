# SPDX-License-Identifier: Apache-2.0
"""The SFTP version 3 requests of one session, answered from one district's tree.

Synchronous, and used by one thread at a time: the session hands over packets and gets back
the replies, in order, and what the sealer must know of. A path is read once, here, by
`core.paths.read_path`; every decision after that uses the value.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from nightdrop.core.errors import Refusal
from nightdrop.core.events import EventKind
from nightdrop.core.paths import ServedPath, Zone, read_path
from nightdrop.sftp import replies, requests
from nightdrop.sftp.diary import Diary
from nightdrop.sftp.errors import describe
from nightdrop.sftp.handles import Browsing, HandleTable, Opened, Reading, UnknownHandle, Writing
from nightdrop.sftp.packets import (
    MAX_DATA_BYTES,
    OpenFlag,
    PacketRefused,
    Status,
)
from nightdrop.sftp.shares import DistrictShare
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.markers import epoch_of

#: Names in one answer to READDIR: about 30 KiB.
_PAGE_NAMES: Final = 100

_HOME: Final = "/"


class NothingLeft(Exception):
    """READ and READDIR have come to the end."""


@dataclass(slots=True)
class Outcome:
    """What came of a batch.

    `handled` is how many packets were answered: the rest is to be handed over again once
    the replies are gone. `touched` names epochs in which a file was completed or moved,
    `marked` those of them that now have their marker.
    """

    replies: bytes = b""
    handled: int = 0
    touched: set[str] = field(default_factory=set)
    marked: set[str] = field(default_factory=set)


class Handler:
    """One session's open handles, and the answers to its requests.

    `reply_bytes` of replies end a batch; more requests wait. A client that asks and never
    reads must not make the server remember what it asked for.
    """

    def __init__(
        self, tree: DistrictTree, diary: Diary, *, share: DistrictShare, reply_bytes: int
    ) -> None:
        self._tree = tree
        self._diary = diary
        self._reply_bytes = reply_bytes
        self._handles = HandleTable(share)
        self._is_greeted = False
        self._outcome = Outcome()

    def handle(self, packets: Sequence[bytes]) -> Outcome:
        """Answer `packets` in order, as far as the replies fit into one batch.

        Raises:  PacketRefused or PacketMalformed when the session cannot go on.
        """
        outcome = self._outcome = Outcome()
        answers: list[bytes] = []
        size_bytes = 0
        for packet in packets:
            answer = self._answer(packet)
            answers.append(answer)
            size_bytes += len(answer)
            if size_bytes >= self._reply_bytes:
                break
        outcome.replies = b"".join(answers)
        outcome.handled = len(answers)
        return outcome

    def has_open(self) -> bool:
        """Whether the client has files or directories open."""
        return self._handles.has_any()

    def abandon(self) -> None:
        """Give up what the client has not closed: such files did not arrive whole."""
        for opened in self._handles.take_all():
            try:
                self._give_up(opened)
            except OSError as accident:
                self._diary.failed(requests.Close(b""), accident)

    def _give_up(self, opened: Opened) -> None:
        if isinstance(opened, Writing):
            size_bytes = opened.file.stat().size_bytes
            opened.file.abandon()
            self._diary.torn(opened.path, size_bytes=size_bytes)
        elif isinstance(opened, Reading):
            opened.file.close()
        else:
            opened.close()

    def _answer(self, packet: bytes) -> bytes:
        request_id = requests.read_request_id(packet)
        request: requests.Request = requests.Unsupported()
        try:
            request = requests.read_request(packet)
            self._check_order(request, packet)
            return self._ANSWERS[type(request)](self, request, request_id)
        except NothingLeft:
            return replies.write_status(request_id, Status.EOF, "End of file")
        except PacketRefused:
            raise
        except Refusal as refusal:
            self._diary.refused(request, refusal)
            _forget_trace(refusal)
            return replies.write_status(request_id, *describe(refusal))
        except Exception as accident:  # noqa: BLE001 - one request fails, the session goes on
            reference = self._diary.failed(request, accident)
            _forget_trace(accident)
            sentence = f"The server could not do that. The operator finds why under {reference}."
            return replies.write_status(request_id, Status.FAILURE, sentence)

    def _check_order(self, request: requests.Request, packet: bytes) -> None:
        """Let INIT be the first request, and only the first."""
        if isinstance(request, requests.Init) == self._is_greeted:
            raise PacketRefused(len(packet))

    def _init(self, _request: requests.Init, _request_id: int) -> bytes:
        self._is_greeted = True
        return replies.write_version()

    def _open(self, request: requests.Open, request_id: int) -> bytes:
        path, flags = read_path(request.path), request.flags
        is_writing = bool(flags & (OpenFlag.WRITE | OpenFlag.APPEND))
        opener = self._open_writing if is_writing else self._open_reading
        handle = self._handles.open(lambda: opener(path, flags))
        return replies.write_handle(request_id, handle)

    def _open_reading(self, path: ServedPath, _flags: OpenFlag) -> Opened:
        return Reading(path, self._tree.open_read(path))

    def _open_writing(self, path: ServedPath, flags: OpenFlag) -> Opened:
        file = self._tree.open_write(
            path,
            create=OpenFlag.CREATE in flags,
            exclusive=OpenFlag.EXCLUSIVE in flags,
            truncate=OpenFlag.TRUNCATE in flags,
            append=OpenFlag.APPEND in flags,
            readable=OpenFlag.READ in flags,
        )
        return Writing(path, file)

    def _close(self, request: requests.Close, request_id: int) -> bytes:
        opened = self._handles.take(request.handle)
        if isinstance(opened, Writing):
            self._close_writing(opened)
        elif isinstance(opened, Reading):
            opened.file.close()
        else:
            opened.close()
        return _done(request_id)

    def _close_writing(self, opened: Writing) -> None:
        size_bytes = opened.file.stat().size_bytes
        closed = opened.file.close()
        if closed.is_whole:
            self._diary.written(opened.path, size_bytes=size_bytes)
        self._note_touched(opened.path)
        self._note_marked(closed.marker)

    def _read(self, request: requests.Read, request_id: int) -> bytes:
        opened = self._handles.file(request.handle)
        data = opened.file.read(request.offset, min(request.size_bytes, MAX_DATA_BYTES))
        if not data:
            raise NothingLeft
        return replies.write_data(request_id, data)

    def _write(self, request: requests.Write, request_id: int) -> bytes:
        self._handles.writing(request.handle).file.write(request.offset, request.data)
        return _done(request_id)

    def _stat(self, request: requests.Stat, request_id: int) -> bytes:
        return replies.write_attributes(request_id, self._tree.stat(read_path(request.path)))

    def _stat_handle(self, request: requests.StatHandle, request_id: int) -> bytes:
        try:
            entry = self._handles.file(request.handle).file.stat()
        except UnknownHandle:
            entry = self._tree.stat(self._handles.browsing(request.handle).path)
        return replies.write_attributes(request_id, entry)

    def _set_attributes(self, request: requests.SetAttributes, request_id: int) -> bytes:
        path = read_path(request.path)
        attributes = request.attributes
        if attributes.size_bytes is not None:
            self._tree.truncate(path, attributes.size_bytes)
            self._note_touched(path)
        if attributes.times is not None:
            self._tree.set_times(path, *attributes.times)
        if attributes.size_bytes is None and attributes.times is None:
            self._tree.stat(path)
        return _done(request_id)

    def _set_handle_attributes(
        self, request: requests.SetHandleAttributes, request_id: int
    ) -> bytes:
        opened = self._handles.file(request.handle)
        attributes = request.attributes
        if attributes.size_bytes is not None:
            self._handles.writing(request.handle).file.truncate(attributes.size_bytes)
        if attributes.times is not None:
            if isinstance(opened, Writing):
                opened.file.set_times(*attributes.times)
            else:
                self._tree.set_times(opened.path, *attributes.times)
        return _done(request_id)

    def _open_directory(self, request: requests.OpenDirectory, request_id: int) -> bytes:
        path = read_path(request.path)
        handle = self._handles.open(lambda: Browsing(path, self._tree.list(path)))
        return replies.write_handle(request_id, handle)

    def _read_directory(self, request: requests.ReadDirectory, request_id: int) -> bytes:
        entries = self._handles.browsing(request.handle).entries
        page = list(itertools.islice(entries, _PAGE_NAMES))
        if not page:
            raise NothingLeft
        return replies.write_names(request_id, page, now=datetime.now(UTC))

    def _remove(self, request: requests.Remove, request_id: int) -> bytes:
        path = read_path(request.path)
        self._tree.remove_file(path)
        self._diary.changed(EventKind.FILE_REMOVED, path)
        self._note_touched(path)
        return _done(request_id)

    def _make_directory(self, request: requests.MakeDirectory, request_id: int) -> bytes:
        path = read_path(request.path)
        self._tree.make_directory(path)
        self._diary.changed(EventKind.DIRECTORY_MADE, path)
        return _done(request_id)

    def _remove_directory(self, request: requests.RemoveDirectory, request_id: int) -> bytes:
        path = read_path(request.path)
        self._tree.remove_directory(path)
        self._diary.changed(EventKind.DIRECTORY_REMOVED, path)
        return _done(request_id)

    def _real_path(
        self, request: requests.RealPath | requests.ExpandPath, request_id: int
    ) -> bytes:
        raw = request.path
        if isinstance(request, requests.ExpandPath) and raw.split(b"/", 1)[0] == b"~":
            raw = raw[1:] or b"/"
        return replies.write_path(request_id, read_path(raw).text)

    def _rename(self, request: requests.Rename, request_id: int) -> bytes:
        old, new = read_path(request.old), read_path(request.new)
        marked = self._tree.rename(old, new, replace=request.may_replace)
        self._diary.renamed(old, new)
        self._note_touched(old)
        self._note_touched(new)
        if marked is not None:
            self._note_marked(marked.epoch)
        return _done(request_id)

    def _sync(self, request: requests.Sync, request_id: int) -> bytes:
        self._handles.writing(request.handle).file.sync()
        return _done(request_id)

    def _stat_space(self, request: requests.StatSpace, request_id: int) -> bytes:
        path = read_path(request.path)
        self._tree.stat(path)
        is_writable = path.zone in {Zone.ROOT, Zone.UPLOAD}
        return replies.write_space(request_id, self._tree.space(), is_writable=is_writable)

    def _limits(self, _request: requests.Limits, request_id: int) -> bytes:
        return replies.write_limits(request_id)

    def _home(self, _request: requests.HomeDirectory, request_id: int) -> bytes:
        return replies.write_path(request_id, _HOME)

    def _unsupported(self, _request: requests.Unsupported, request_id: int) -> bytes:
        return replies.write_status(
            request_id,
            Status.OP_UNSUPPORTED,
            "This server has files and directories only: no links, no copies made by it.",
        )

    def _note_touched(self, path: ServedPath) -> None:
        epoch = epoch_of(path)
        if epoch is not None:
            self._outcome.touched.add(epoch)

    def _note_marked(self, epoch: str | None) -> None:
        if epoch is not None:
            self._outcome.marked.add(epoch)
            self._outcome.touched.add(epoch)

    #: One answer for each request.
    _ANSWERS: ClassVar[Mapping[type[requests.Request], Callable[[Any, Any, int], bytes]]] = {
        requests.Init: _init,
        requests.Open: _open,
        requests.Close: _close,
        requests.Read: _read,
        requests.Write: _write,
        requests.Stat: _stat,
        requests.StatHandle: _stat_handle,
        requests.SetAttributes: _set_attributes,
        requests.SetHandleAttributes: _set_handle_attributes,
        requests.OpenDirectory: _open_directory,
        requests.ReadDirectory: _read_directory,
        requests.Remove: _remove,
        requests.MakeDirectory: _make_directory,
        requests.RemoveDirectory: _remove_directory,
        requests.RealPath: _real_path,
        requests.ExpandPath: _real_path,
        requests.Rename: _rename,
        requests.Sync: _sync,
        requests.StatSpace: _stat_space,
        requests.Limits: _limits,
        requests.HomeDirectory: _home,
        requests.Unsupported: _unsupported,
    }


def _forget_trace(fault: Exception) -> None:
    """Let go of what a fault's trace holds: the request's data. A file keeps its fault."""
    fault.__traceback__ = fault.__cause__ = fault.__context__ = None


def _done(request_id: int) -> bytes:
    return replies.write_status(request_id, Status.OK, "Done")
