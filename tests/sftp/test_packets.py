# SPDX-License-Identifier: Apache-2.0
"""SFTP version 3 on the wire."""

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.sftp import replies, requests
from nightdrop.sftp.packets import (
    MAX_DATA_BYTES,
    MAX_PACKET_BYTES,
    Attributes,
    Kind,
    OpenFlag,
    PacketMalformed,
    PacketRefused,
    Status,
    take_packet,
)
from nightdrop.storage.entries import Entry

NOW = datetime(2026, 11, 23, 2, 14, 7, tzinfo=UTC)


def string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def packet(kind: int, *body: bytes, request_id: int = 7) -> bytes:
    return struct.pack(">BI", kind, request_id) + b"".join(body)


REQUESTS: list[tuple[bytes, requests.Request]] = [
    (packet(Kind.INIT, request_id=3), requests.Init(3)),
    (
        packet(Kind.OPEN, string(b"/upload/a"), struct.pack(">II", 0x1A, 0)),
        requests.Open(b"/upload/a", OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE),
    ),
    (packet(Kind.CLOSE, string(b"h")), requests.Close(b"h")),
    (
        packet(Kind.READ, string(b"h"), struct.pack(">QI", 2**40, 5)),
        requests.Read(b"h", 2**40, 5),
    ),
    (
        packet(Kind.WRITE, string(b"h"), struct.pack(">Q", 9), string(b"data")),
        requests.Write(b"h", 9, b"data"),
    ),
    (packet(Kind.STAT, string(b"/")), requests.Stat(b"/")),
    (packet(Kind.LSTAT, string(b"/")), requests.Stat(b"/")),
    (packet(Kind.FSTAT, string(b"h")), requests.StatHandle(b"h")),
    (
        packet(Kind.SETSTAT, string(b"/a"), struct.pack(">IQIIIII", 15, 9, 1, 2, 0o644, 3, 4)),
        requests.SetAttributes(b"/a", Attributes(9, (1, 2), 0o644, (3, 4))),
    ),
    (
        packet(Kind.FSETSTAT, string(b"h"), struct.pack(">III", 8, 3, 4)),
        requests.SetHandleAttributes(b"h", Attributes(times=(3, 4))),
    ),
    (packet(Kind.OPENDIR, string(b"/")), requests.OpenDirectory(b"/")),
    (packet(Kind.READDIR, string(b"h")), requests.ReadDirectory(b"h")),
    (packet(Kind.REMOVE, string(b"/a")), requests.Remove(b"/a")),
    (packet(Kind.MKDIR, string(b"/a"), struct.pack(">I", 0)), requests.MakeDirectory(b"/a")),
    (packet(Kind.RMDIR, string(b"/a")), requests.RemoveDirectory(b"/a")),
    (packet(Kind.REALPATH, string(b".")), requests.RealPath(b".")),
    (packet(Kind.RENAME, string(b"/a"), string(b"/b")), requests.Rename(b"/a", b"/b")),
    (
        packet(Kind.EXTENDED, string(b"posix-rename@openssh.com"), string(b"/a"), string(b"/b")),
        requests.Rename(b"/a", b"/b", may_replace=True),
    ),
    (packet(Kind.EXTENDED, string(b"fsync@openssh.com"), string(b"h")), requests.Sync(b"h")),
    (packet(Kind.EXTENDED, string(b"limits@openssh.com")), requests.Limits()),
    (packet(Kind.EXTENDED, string(b"home-directory"), string(b"x")), requests.HomeDirectory()),
    (
        packet(Kind.EXTENDED, string(b"expand-path@openssh.com"), string(b"~")),
        requests.ExpandPath(b"~"),
    ),
    (packet(Kind.EXTENDED, string(b"copy-data"), string(b"h")), requests.Unsupported()),
    (packet(19, string(b"/a")), requests.Unsupported()),
    (packet(20, string(b"/a"), string(b"/b")), requests.Unsupported()),
]


@pytest.mark.parametrize(("raw", "meant"), REQUESTS)
def test_each_request_is_read(raw: bytes, meant: requests.Request) -> None:
    assert requests.read_request(raw) == meant
    assert isinstance(meant, requests.Init) or requests.read_request_id(raw) == 7


@pytest.mark.parametrize(
    ("raw", "meant"), [(r, m) for r, m in REQUESTS if not isinstance(m, requests.Unsupported)]
)
def test_a_request_that_is_cut_short_is_refused(raw: bytes, meant: requests.Request) -> None:
    needed = len(raw) - (5 if isinstance(meant, requests.HomeDirectory) else 0)
    needed -= 4 if isinstance(meant, requests.MakeDirectory | requests.Open) else 0
    for end in range(1, needed):
        with pytest.raises(PacketMalformed):
            requests.read_request(raw[:end])


@given(st.binary(min_size=5, max_size=80))
def test_no_bytes_at_all_make_the_reader_fail_otherwise(raw: bytes) -> None:
    try:
        found = requests.read_request(raw)
    except PacketMalformed:
        return
    assert type(found).__module__ == requests.__name__


@pytest.mark.parametrize("offset", [2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("kind", [Kind.WRITE, Kind.READ])
def test_an_offset_that_no_file_has_is_refused(kind: Kind, offset: int) -> None:
    raw = packet(kind, string(b"h"), struct.pack(">Q", offset), string(b"data"))
    with pytest.raises(PacketMalformed):
        requests.read_request(raw)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.integers(1, 7))
def test_packets_are_taken_whole_and_in_order(packets: list[bytes], step: int) -> None:
    stream = b"".join(string(each) for each in packets)
    buffer = bytearray()
    taken = []
    for start in range(0, len(stream), step):
        buffer += stream[start : start + step]
        while (found := take_packet(buffer)) is not None:
            taken.append(found)
    assert taken == packets
    assert not buffer


@pytest.mark.parametrize("size_bytes", [0, MAX_PACKET_BYTES + 1, 2**32 - 1])
def test_an_empty_or_oversized_packet_ends_the_stream(size_bytes: int) -> None:
    with pytest.raises(PacketRefused) as refusal:
        take_packet(bytearray(struct.pack(">I", size_bytes)))
    assert refusal.value.size_bytes == size_bytes


def test_the_longest_honest_write_fits_into_a_packet() -> None:
    longest = packet(Kind.WRITE, string(b"h" * 16), bytes(8), string(bytes(MAX_DATA_BYTES)))
    assert len(longest) <= MAX_PACKET_BYTES
    assert take_packet(bytearray(string(longest))) == longest


def test_a_status_carries_its_sentence() -> None:
    reply = replies.write_status(7, Status.PERMISSION_DENIED, "Größe")
    body = struct.pack(">BII", Kind.STATUS, 7, 3) + string("Größe".encode()) + string(b"en")
    assert reply == string(body)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            Entry(name="students.csv", is_directory=False, size_bytes=1234, atime=0,
                  mtime=int(NOW.timestamp()) - 60, is_writable=True),
            "-rw-r--r--    1 nightdrop district     1234 Nov 23 02:13 students.csv",
        ),
        (
            Entry(name="upload", is_directory=True, size_bytes=4096, atime=0,
                  mtime=0, is_writable=False),
            "dr-xr-xr-x    2 nightdrop district     4096 Jan  1  1970 upload",
        ),
        (
            Entry(name="late", is_directory=True, size_bytes=0, atime=0,
                  mtime=2**32 - 1, is_writable=True),
            "drwxr-xr-x    2 nightdrop district        0 Feb  7  2106 late",
        ),
    ],
)  # fmt: skip
def test_long_names_are_what_ls_shows(entry: Entry, line: str) -> None:
    assert replies.write_long_name(entry, now=NOW) == line
