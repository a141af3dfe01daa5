# SPDX-License-Identifier: Apache-2.0
"""What an SFTP client is told: one table from Refusal to status code and sentence.

Version 3 has few codes, so the sentence carries the rule that refused and what to do about
it. ``{r}`` is the refusal with its facts; ``!b`` after one is for bytes.
"""

import string
from collections.abc import Mapping
from typing import Final

from nightdrop.core import paths
from nightdrop.core.errors import Refusal
from nightdrop.core.quota import write_size
from nightdrop.sftp import handles
from nightdrop.sftp.packets import MAX_PACKET_BYTES, PacketMalformed, Status
from nightdrop.sftp.replies import MAX_HANDLES
from nightdrop.sftp.shares import MAX_DISTRICT_HANDLES
from nightdrop.storage import errors as storage

_NO_FILE: Final = Status.NO_SUCH_FILE
_DENIED: Final = Status.PERMISSION_DENIED
_FAILED: Final = Status.FAILURE

SENTENCES: Final[Mapping[type[Refusal], tuple[Status, str]]] = {
    # Paths that cannot be read.
    paths.PathNotUtf8: (
        _DENIED,
        "The name is not UTF-8 (from byte {r.offset} on). Let your client send names as UTF-8.",
    ),
    paths.PathHasNul: (_DENIED, "The name has a zero byte in it. Rename the file."),
    paths.PathHasControl: (
        _DENIED,
        (
            "The name has a control character in it ({r.character!a}), perhaps a line end or a tab."
            " Rename the file."
        ),
    ),
    paths.NameTooLong: (
        _DENIED,
        "A name may have 255 bytes; this one has {r.size_bytes}. Shorten it.",
    ),
    paths.PathTooDeep: (
        _DENIED,
        (
            "The path is more than 16 directories deep. Put the files directly into"
            " /upload/YYYYMMDD-HHMMSS."
        ),
    ),
    paths.PathEscapes: (_DENIED, "The path leads above /. Everything of yours is below /upload."),
    paths.NoSuchTop: (
        _NO_FILE,
        (
            "There is no /{r.name} here, only /upload, /upload-processed and /download."
            " Files go into /upload."
        ),
    ),
    # What may be done where.
    paths.ReadOnlyPlace: (
        _DENIED,
        "/{r.zone} is read-only: it is filled by the service. Files go into /upload.",
    ),
    paths.FixedPlace: (_DENIED, "{r.path.text} stays as it is. Files go into /upload."),
    storage.EpochSealed: (
        _DENIED,
        (
            "The epoch {r.epoch} was sealed at {r.sealed_at:%H:%M:%S} UTC, after its COMPLETE, and"
            " does not change any more. Upload into a new epoch, such as"
            " /upload/YYYYMMDD-HHMMSS with the time of now."
        ),
    ),
    storage.EpochBusy: (
        _FAILED,
        "{r.epoch} has files that are still being written. Wait until they are closed.",
    ),
    # What is on the disk.
    storage.NoSuchFile: (_NO_FILE, "There is no {r.path.text}."),
    storage.AlreadyThere: (
        _FAILED,
        "{r.path.text} is there already. Remove it first, or let your client overwrite it.",
    ),
    storage.NotADirectory: (_FAILED, "{r.path.text} is a file, or leads through one."),
    storage.IsADirectory: (_FAILED, "{r.path.text} is a directory, and a file is needed."),
    storage.DirectoryNotEmpty: (_FAILED, "{r.path.text} is not empty. Remove what is in it first."),
    storage.InsideItself: (_FAILED, "{r.path.text} cannot be moved into itself."),
    storage.TreeTooDeep: (
        _DENIED,
        "Moved to {r.path.text}, its contents would be more than 16 directories deep.",
    ),
    storage.PlaceUnsupported: (
        _DENIED,
        "{r.path.text} leads through something that is neither a file nor a directory.",
    ),
    storage.QuotaBytesRefused: (
        _FAILED,
        (
            "Your quota of {r.quota.size_bytes!b} has no room for this: what is in /upload takes"
            " {r.used.size_bytes!b} of it. Remove what is not needed, or ask whoever runs this"
            " service to raise it."
        ),
    ),
    storage.QuotaFilesRefused: (
        _FAILED,
        (
            "Your quota of {r.quota.files:,} files and directories has no room for this: what is in"
            " /upload takes {r.used.files:,} of it. Remove what is not needed, or ask whoever runs"
            " this service to raise it."
        ),
    ),
    storage.DiskFull: (
        _FAILED,
        (
            "The server's disk is full; what was stored before is unharmed. The operator has been"
            " told. Send the file again later."
        ),
    ),
    storage.FileTooLarge: (_FAILED, "{r.path.text} would be larger than a file can be."),
    storage.TooManyWriters: (
        _FAILED,
        (
            "{r.path.text} is being written by {r.limit} transfers, as many as it may."
            " Lower the number of segments in your client."
        ),
    ),
    # Handles and packets.
    storage.HandleClosed: (_FAILED, "The file was closed before."),
    storage.NotOpenForReading: (_FAILED, "The file was not opened for reading."),
    handles.TooManyHandles: (
        _FAILED,
        f"This session has {MAX_HANDLES} files open, as many as it may. Close some first.",
    ),
    handles.TooManyDistrictHandles: (
        _FAILED,
        f"The sessions of this account have {MAX_DISTRICT_HANDLES} files open in all. Close some.",
    ),
    handles.UnknownHandle: (_FAILED, "This handle is not open, or not for that."),
    PacketMalformed: (
        Status.BAD_MESSAGE,
        f"The request is malformed, or longer than {MAX_PACKET_BYTES // 1024} KiB.",
    ),
    # The operator's mistakes.
    storage.NoSuchDistrict: (
        _FAILED,
        "This account's directories are missing on the server. Tell whoever runs it.",
    ),
}


class _Sentences(string.Formatter):
    """Fills in facts; ``!b`` writes a number of bytes for people."""

    def convert_field(self, value: object, conversion: str | None) -> object:
        if conversion == "b" and isinstance(value, int):
            return write_size(value)
        return super().convert_field(value, conversion)


_SENTENCES: Final = _Sentences()


def describe(refusal: Refusal) -> tuple[Status, str]:
    """Return what the client is told about a refusal."""
    for kind in type(refusal).__mro__:
        if kind in SENTENCES:
            status, template = SENTENCES[kind]
            return status, _SENTENCES.format(template, r=refusal)
    return _FAILED, f"The server refuses that ({refusal.code})."
