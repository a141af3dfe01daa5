# SPDX-License-Identifier: Apache-2.0
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightdrop.core.paths import (
    MAX_DEPTH,
    Act,
    FixedPlace,
    NameTooLong,
    NoSuchTop,
    PathEscapes,
    PathHasControl,
    PathHasNul,
    PathNotUtf8,
    PathRefused,
    PathTooDeep,
    ReadOnlyPlace,
    ServedPath,
    Zone,
    check_allowed,
    read_path,
)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "/"),
        (b".", "/"),
        (b"/", "/"),
        (b"//", "/"),
        (b"/upload", "/upload"),
        (b"upload", "/upload"),
        (b"/upload/", "/upload"),
        (b"//upload//x", "/upload/x"),
        (b"/./upload/./x/.", "/upload/x"),
        (b"/upload/x/../y", "/upload/y"),
        (b"/etc/../upload", "/upload"),
        (b"/upload/..", "/"),
        (b"/download/../upload/x", "/upload/x"),
        (b"/upload/...", "/upload/..."),
        (b"/upload/..\\..\\x", "/upload/..\\..\\x"),
        ("/upload/Ämter".encode(), "/upload/Ämter"),
        (b"/upload/ x ", "/upload/ x "),
        (b"/upload/%2e%2e/x", "/upload/%2e%2e/x"),
        (b"/upload/~", "/upload/~"),
    ],
)
def test_a_path_has_one_meaning(raw: bytes, text: str) -> None:
    assert read_path(raw).text == text


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (b"/upload/\xff", PathNotUtf8),
        (b"/upload/\xc0\xae\xc0\xae/x", PathNotUtf8),
        (b"/upload/\xed\xa0\x80", PathNotUtf8),
        (b"/upload/a\0b", PathHasNul),
        (b"/upload/a\nb", PathHasControl),
        (b"/upload/a\x7fb", PathHasControl),
        (b"/upload/a\xc2\x85b", PathHasControl),
        (b"/upload/" + b"x" * 256, NameTooLong),
        (b"/upload/" + "ä".encode() * 128, NameTooLong),
        (b"/upload/" + b"x" * 4096, NameTooLong),
        (b"/upload" + b"/x" * MAX_DEPTH, PathTooDeep),
        (b"..", PathEscapes),
        (b"/..", PathEscapes),
        (b"/upload/../../upload", PathEscapes),
        (b"/upload/../../../etc/passwd", PathEscapes),
        (b"/etc/passwd", NoSuchTop),
        (b"/locks", NoSuchTop),
        (b"/Upload", NoSuchTop),
        (b"uploads/x", NoSuchTop),
    ],
)
def test_every_other_path_is_refused_by_name(raw: bytes, refusal: type[PathRefused]) -> None:
    with pytest.raises(refusal) as refused:
        read_path(raw)
    assert refused.value.raw == raw
    assert type(refused.value) is refusal


def test_refusals_carry_what_was_wrong() -> None:
    with pytest.raises(PathNotUtf8) as not_utf8:
        read_path(b"/upload/\xff")
    assert not_utf8.value.offset == 8
    with pytest.raises(NameTooLong) as too_long:
        read_path(b"/upload/" + b"x" * 300)
    assert too_long.value.size_bytes == 300
    with pytest.raises(PathHasControl) as control:
        read_path(b"/upload/a\tb")
    assert control.value.character == "\t"
    with pytest.raises(NoSuchTop) as top:
        read_path(b"/etc/passwd")
    assert top.value.name == "etc"


def test_the_longest_name_and_the_deepest_path_are_allowed() -> None:
    assert read_path(b"/upload/" + b"x" * 255).name == "x" * 255
    assert len(read_path(b"/upload" + b"/x" * (MAX_DEPTH - 1)).parts) == MAX_DEPTH


@given(
    st.lists(st.sampled_from([b"upload", b"x", b".", b"..", b"", b"etc", b"\xff", b"a\0"])),
    st.booleans(),
)
def test_nothing_that_is_read_leads_outside(parts: list[bytes], is_absolute: bool) -> None:  # noqa: FBT001
    raw = (b"/" if is_absolute else b"") + b"/".join(parts)
    try:
        path = read_path(raw)
    except PathRefused:
        return
    assert path.zone in Zone
    assert ".." not in path.parts
    assert read_path(path.text.encode()) == path


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        path = read_path(raw)
    except PathRefused as refused:
        assert refused.raw == raw  # noqa: PT017 - most draws are refused, and some are not
    else:
        assert read_path(path.text.encode()) == path


def test_a_path_knows_where_it_lies() -> None:
    path = read_path(b"/upload/20260928-021407/students.csv")
    assert path.zone is Zone.UPLOAD
    assert path.top == "20260928-021407"
    assert path.name == "students.csv"
    assert path.parent.text == "/upload/20260928-021407"
    assert path.parent.child("x").text == "/upload/20260928-021407/x"
    assert read_path(b"/upload").top is None
    assert read_path(b"/download/x").top is None
    assert read_path(b"/").zone is Zone.ROOT
    assert read_path(b"/").name == ""
    assert read_path(b"/").parent == read_path(b"/")


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "a\0b"])
def test_a_part_that_is_no_name_is_an_error_of_ours(part: str) -> None:
    with pytest.raises(ValueError, match="no name of one entry"):
        ServedPath(("upload", part))


READING = {Act.LIST, Act.STAT, Act.READ}
PLACES: dict[bytes, type[FixedPlace | ReadOnlyPlace] | None] = {
    b"/": FixedPlace,
    b"/upload": FixedPlace,
    b"/upload-processed": FixedPlace,
    b"/download": FixedPlace,
    b"/upload/x": None,
    b"/upload/x/y": None,
    b"/upload-processed/x": ReadOnlyPlace,
    b"/download/x/y": ReadOnlyPlace,
}


@pytest.mark.parametrize(("raw", "act"), list(itertools.product(PLACES, Act)))
def test_what_may_happen_where(raw: bytes, act: Act) -> None:
    path = read_path(raw)
    refusal = PLACES[raw]
    if act in READING or refusal is None:
        check_allowed(act, path)
        return
    with pytest.raises(refusal) as refused:
        check_allowed(act, path)
    assert refused.value.args[0] == path
    if isinstance(refused.value, ReadOnlyPlace):
        assert (refused.value.path, refused.value.zone) == (path, path.zone)
