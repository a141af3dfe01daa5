# SPDX-License-Identifier: Apache-2.0
"""The encoding is decided for the file as a whole; damage stays in its row."""

import codecs
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.intake.records import DAMAGE
from nightdrop.intake.sniff import Encoding, Sniffed, sniff
from nightdrop.intake.transcode import transcode


def sniffed(tmp_path: Path, data: bytes) -> Sniffed:
    path = tmp_path / "file"
    path.write_bytes(data)
    return sniff(path)


def test_facts_of_a_file(tmp_path: Path) -> None:
    data = codecs.BOM_UTF8 + b"a,b\n" * 1_000_000
    found = sniffed(tmp_path, data)
    assert found.size_bytes == len(data)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.bom_bytes == 3
    assert found.is_utf_8


@pytest.mark.parametrize(
    ("data", "encoding", "is_utf_8"),
    [
        (b"", Encoding.UTF_8, True),
        (b"plain", Encoding.UTF_8, True),
        ("José".encode(), Encoding.UTF_8, True),
        ("José 𝄞".encode(), Encoding.UTF_8, True),
        ("José".encode("cp1252"), Encoding.WINDOWS_1252, False),
        ("José Núñez Ávila \u2019n".encode("cp1252"), Encoding.WINDOWS_1252, False),
        (("é" * 20 + "\n").encode() + b"\xe9", Encoding.UTF_8, False),
        (("é\n" * 19).encode("cp1252") + "é\n".encode(), Encoding.UTF_8, False),
        (("é\n" * 21).encode("cp1252") + "é\n".encode(), Encoding.WINDOWS_1252, False),
        ("é".encode()[:1], Encoding.WINDOWS_1252, False),
        (codecs.BOM_UTF8 + b"\xe9", Encoding.UTF_8, False),
        (codecs.BOM_UTF16_LE + "é".encode("utf-16-le"), Encoding.UTF_16_LE, False),
        (codecs.BOM_UTF16_BE + "é".encode("utf-16-be"), Encoding.UTF_16_BE, False),
        (codecs.BOM_UTF32_LE + "ab".encode("utf-32-le"), None, False),
        ("Student Id".encode("utf-16-le"), None, False),
    ],
)  # fmt: skip
def test_the_encoding_of_a_whole_file(
    tmp_path: Path, data: bytes, encoding: Encoding | None, *, is_utf_8: bool
) -> None:
    found = sniffed(tmp_path, data)
    assert found.encoding is encoding
    assert found.is_utf_8 is is_utf_8


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"PK\x03\x04rest", "zip"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"%PDF-1.7", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),
        (b"<!DOCTYPE html>", "HTML"),
        (codecs.BOM_UTF8 + b" \n<?xml version='1.0'?>", "XML"),
        (codecs.BOM_UTF16_LE + "<html>".encode("utf-16-le"), "HTML"),
    ],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, data: bytes, word: str) -> None:
    assert word in (sniffed(tmp_path, data).seems or "")


@given(text=st.text(min_size=1), cut=st.integers(0, 3))
def test_utf_8_is_known_wherever_a_piece_ends(
    tmp_path_factory: pytest.TempPathFactory, text: str, cut: int
) -> None:
    """Characters lie across the pieces in which a file is read."""
    data = b"a" * ((1 << 20) - cut) + text.encode(errors="ignore")
    assert sniffed(tmp_path_factory.getbasetemp(), data).is_utf_8


@pytest.mark.parametrize(
    ("data", "encoding", "wanted"),
    [
        ("José €".encode("cp1252"), Encoding.WINDOWS_1252, "José €"),
        (b"a\x81b", Encoding.WINDOWS_1252, f"a{DAMAGE}b"),
        (b"a\xe9b", Encoding.UTF_8, f"a{DAMAGE}b"),
        (b"a\xe2\x82", Encoding.UTF_8, f"a{DAMAGE}"),
        ("a𝄞b".encode("utf-16-le"), Encoding.UTF_16_LE, "a𝄞b"),
        ("a".encode("utf-16-be") + b"\xd8\x00", Encoding.UTF_16_BE, f"a{DAMAGE}"),
        ("a".encode("utf-16-le") + b"x", Encoding.UTF_16_LE, f"a{DAMAGE}"),
    ],
)
def test_what_cannot_be_decoded_is_marked(
    tmp_path: Path, data: bytes, encoding: Encoding, wanted: str
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"??" + data)
    transcode(source, encoding=encoding, bom_bytes=2, target=target)
    assert target.read_text(encoding="utf-8") == wanted
