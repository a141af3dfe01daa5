# SPDX-License-Identifier: Apache-2.0
import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.keys.key_lines import make_key_line, vector, vector_blob
from nightdrop.core.keys import read_public_key
from nightdrop.core.keys.paste import mend_paste

LINE = vector("rsa2048.pub").decode().rstrip("\n")
BLOCK = vector("rsa2048.rfc4716").decode()
PEM = vector("rsa2048.pem").decode()
BLOB = vector_blob("rsa2048.pub")


def wrapped(text: str, *, width: int, by: str = "\n") -> str:
    return by.join(text[start : start + width] for start in range(0, len(text), width))


@pytest.mark.parametrize("text", [LINE, BLOCK, PEM], ids=["line", "rfc4716", "pem"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.replace("\n", "  \t\n").encode() + b"   ",
        lambda text: ("\n\n  " + text.replace("\n", "\n  ")).encode(),
        lambda text: ("> " + text.replace("\n", "\n> ")).encode(),
        lambda text: (">> > " + text.replace("\n", "\n>> > ")).encode(),
        lambda text: ("&gt; " + text.replace("\n", "\n&gt; ")).encode(),
        lambda text: text.replace(" ", "\N{NO-BREAK SPACE}").encode(),
        lambda text: text.replace(" ", "\N{NO-BREAK SPACE}").encode("cp1252"),
        lambda text: text.replace("-", "\N{NON-BREAKING HYPHEN}").encode(),
        lambda text: text.replace("----", "\N{EM DASH}").encode(),
        lambda text: text.replace("AAAA", "AA\N{ZERO WIDTH SPACE}AA").encode(),
        lambda text: (text + "\n\nThanks,\nBob\n-- \nIT department").encode(),
        lambda text: ("Hi,\nhere is our key.\n\n" + text + "\n").encode(),
        lambda text: text.rstrip("\n").encode(),
    ],
    ids=[
        "CRLF", "CR", "BOM", "UTF-16 LE", "UTF-16 BE", "LE without BOM", "BE without BOM",
        "trailing blanks", "indented", "quoted", "quoted thrice", "quoted as HTML", "NBSP",
        "Windows-1252", "hyphens", "dashes", "zero width", "prose after", "prose before",
        "no line end",
    ],
)  # fmt: skip
def test_damage_is_repaired(text: str, damage: object) -> None:
    assert callable(damage)
    assert read_public_key(damage(text)).blob == BLOB


@pytest.mark.parametrize("width", [8, 29, 64, 72, 76])
@pytest.mark.parametrize("by", ["\n", "\r\n", " \n", "\n> ", "\n\t", "\n\n"])
def test_wrapped_base64_is_joined(width: int, by: str) -> None:
    named, body, comment = LINE.split()
    text = f"{named} {wrapped(body, width=width, by=by)} {comment}\n\nThanks\nBob\n"
    key = read_public_key(text.encode())
    assert (key.blob, key.comment) == (BLOB, comment)


@pytest.mark.parametrize("start", range(8, 40))
def test_the_first_line_may_break_anywhere_in_the_key(start: int) -> None:
    named, body, _ = LINE.split()
    assert read_public_key(f"{named} {body[:start]}\n{body[start:]}".encode()).blob == BLOB


def test_a_line_wrapped_at_its_blanks_is_joined() -> None:
    named, body, comment = LINE.split()
    text = f'from="192.0.2.0/24"\n{named}\n{body}\n{comment}'
    key = read_public_key(text.encode())
    assert (key.blob, key.options.networks) == (BLOB, ("192.0.2.0/24",))


@pytest.mark.parametrize("quotes", [("“", "”"), ('"', '"'), ("'", "'"), ("`", "`")])
def test_quotes_around_the_line_are_taken_off(quotes: tuple[str, str]) -> None:
    for text in (LINE, LINE.rsplit(" ", 1)[0]):
        key = read_public_key((quotes[0] + text + quotes[1]).encode())
        assert key.blob == BLOB
        assert key.comment in {"", "rsa2048@applegrove.org"}


def test_a_lost_first_word_is_found_in_the_key() -> None:
    assert read_public_key(LINE.removeprefix("ssh-rsa ").encode()).blob == BLOB


def test_a_type_that_autocorrection_capitalised_is_read() -> None:
    assert read_public_key(LINE.replace("ssh", "Ssh", 1).encode()).blob == BLOB


@pytest.mark.parametrize("comment", ["Ana García", "日本", "a  b", "key of d'Artagnan"])
def test_a_comment_survives(comment: str) -> None:
    assert read_public_key(make_key_line(comment=comment)).comment == comment


def test_a_comment_in_windows_1252_survives() -> None:
    line = make_key_line(comment="Ana García").decode().encode("cp1252")
    assert read_public_key(line).comment == "Ana García"


def test_a_comment_cannot_reach_a_terminal() -> None:
    key = read_public_key(make_key_line(comment="a\x1b[31mb\N{RIGHT-TO-LEFT OVERRIDE}c\x00"))
    assert key.comment == "a[31mbc"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1))
def test_each_character_knows_its_byte(encoding: str, text: str) -> None:
    marks = {"utf-8": codecs.BOM_UTF8, "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    data = marks[encoding] + text.encode(encoding)
    paste = mend_paste(data)
    assert len(paste.origins) == len(paste.text) + 1
    assert list(paste.origins) == sorted(set(paste.origins))
    assert paste.offset(len(paste.text)) == len(data)
    for index, character in enumerate(paste.text):
        if character.isalnum():
            encoded = character.encode(encoding)
            assert data[paste.offset(index) :].startswith(encoded)


@given(st.binary())
def test_any_bytes_become_text(data: bytes) -> None:
    paste = mend_paste(data)
    assert len(paste.origins) == len(paste.text) + 1
    paste.text.encode()
