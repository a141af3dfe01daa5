# SPDX-License-Identifier: Apache-2.0
"""The file tree against a model that fits on a page, over any sequence of requests."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nightdrop.core.epochs import is_epoch_name, marker_of
from nightdrop.core.errors import Refusal
from nightdrop.core.paths import ServedPath
from nightdrop.storage.processed import move_to_processed
from nightdrop.storage.seal import SealRecord, SealWaits, read_record, try_seal
from nightdrop.storage.tree import Tree
from nightdrop.storage.writing import WriteHandle
from storage.cast import BY_SFTP, at, begin, fetch, lock_names, mode

Parts = tuple[str, ...]
EPOCHS: Final = ("20260928-021400", "20260929-021400")
TOPS: Final = (*EPOCHS, "tmp", "loose.csv")
NAMES: Final = ("students.csv", "COMPLETE", "CHECK", "sub")

#: More would leave no epoch in which nobody writes.
MAX_OPEN: Final = 3

paths = st.one_of(
    st.tuples(st.sampled_from(TOPS)),
    st.tuples(st.sampled_from(TOPS), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(TOPS), st.just("sub"), st.sampled_from(NAMES)),
)


@dataclass(eq=False)
class Model:
    """A file or a directory (`inner` is not None)."""

    inner: "dict[str, Model] | None" = None
    content: bytes = b""
    writers: int = 0
    is_whole: bool = False
    is_spoilt: bool = False
    is_late: bool = False


@dataclass(eq=False)
class Open:
    """A handle: the file it writes to and the entry of /upload whose lock it holds."""

    handle: WriteHandle
    file: Model
    top: str
    parts: Parts


@dataclass
class World:
    """What the model knows."""

    upload: Model = field(default_factory=lambda: Model(inner={}))
    sealed: dict[str, SealRecord] = field(default_factory=dict)
    moved: dict[str, set[str]] = field(default_factory=dict)
    handles: list[Open] = field(default_factory=list)

    def find(self, parts: Parts) -> Model | None:
        here: Model | None = self.upload
        for part in parts:
            here = None if here is None or here.inner is None else here.inner.get(part)
        return here

    def directory(self, parts: Parts) -> "dict[str, Model] | None":
        found = self.find(parts)
        return None if found is None else found.inner

    def is_written(self, top: str) -> bool:
        return any(opened.top == top for opened in self.handles)

    def markers(self, top: str) -> list[Model]:
        inner = self.directory((top,)) or {}
        return [file for name, file in inner.items() if marker_of(name) and file.inner is None]

    def is_marked(self, top: str) -> bool:
        return is_epoch_name(top) and any(marker.is_whole for marker in self.markers(top))


def files_in(model: Model, before: Parts = ()) -> dict[str, Model]:
    if model.inner is None:
        return {"/".join(before): model}
    found: dict[str, Model] = {}
    for name, inner in model.inner.items():
        found |= files_in(inner, (*before, name))
    return found


class TreeMachine(RuleBasedStateMachine):
    """Requests of a district, its seals and its moves; each is made and foretold."""

    def __init__(self) -> None:
        super().__init__()
        self.ground = Path(tempfile.mkdtemp(prefix="nd-model-"))
        tree = Tree(self.ground / "districts")
        tree.prepare()
        tree.add_district(UUID(int=1))
        self.tree = tree.district(UUID(int=1))
        self.world = World()

    def teardown(self) -> None:
        for opened in self.world.handles:
            opened.handle.abandon()
        for place in (self.ground, *self.ground.rglob("*")):
            if place.is_dir():
                place.chmod(0o700)
        shutil.rmtree(self.ground)

    def succeeds(self, request: Callable[[], object], *, foretold: bool) -> bool:
        """Make a request, and check that it is refused exactly when that was foretold."""
        try:
            request()
        except Refusal:
            assert not foretold, request
            return False
        assert foretold, request
        return True

    @rule(parts=paths)
    def make_directory(self, parts: Parts) -> None:
        inner = self.world.directory(parts[:-1])
        may = parts[0] not in self.world.sealed and inner is not None and parts[-1] not in inner
        if self.succeeds(lambda: self.tree.make_directory(to(parts)), foretold=may):
            assert inner is not None
            inner[parts[-1]] = Model(inner={})

    @precondition(lambda self: len(self.world.handles) < MAX_OPEN)
    @rule(parts=paths, truncate=st.booleans())
    def open_file(self, parts: Parts, *, truncate: bool) -> None:
        inner = self.world.directory(parts[:-1])
        known = self.world.find(parts)
        is_file = known is None or known.inner is None
        may = parts[0] not in self.world.sealed and inner is not None and is_file
        handles: list[WriteHandle] = []

        def request() -> None:
            handles.append(begin(self.tree, text(parts), truncate=truncate))

        if not self.succeeds(request, foretold=may):
            return
        assert inner is not None
        file = inner.setdefault(parts[-1], Model())
        file.is_spoilt = file.is_spoilt and file.writers > 0
        file.writers += 1
        file.is_whole = file.is_late = False
        if truncate:
            file.content = b""
        self.world.handles.append(Open(handles[0], file, parts[0], parts))

    @rule(parts=paths, content=st.binary(max_size=6))
    def send_file(self, parts: Parts, content: bytes) -> None:
        count = len(self.world.handles)
        self.open_file(parts, truncate=True)
        if len(self.world.handles) > count:
            self.write(count, 0, content)
            self.close(count)

    @rule(epoch=st.sampled_from(EPOCHS), names=st.lists(st.sampled_from(NAMES), max_size=4))
    def send_epoch(self, epoch: str, names: list[str]) -> None:
        """Send an epoch as a night does, whether its marker comes last or not."""
        self.make_directory((epoch,))
        for name in names:
            self.send_file((epoch, name), name.encode())

    @precondition(lambda self: self.world.handles)
    @rule(number=st.integers(0, 9), offset=st.integers(0, 6), content=st.binary(max_size=6))
    def write(self, number: int, offset: int, content: bytes) -> None:
        opened = self.world.handles[number % len(self.world.handles)]
        opened.handle.write(offset, content)
        if content:
            before = opened.file.content.ljust(offset, b"\0")
            opened.file.content = before[:offset] + content + before[offset + len(content) :]

    @precondition(lambda self: self.world.handles)
    @rule(number=st.integers(0, 9))
    def close(self, number: int) -> None:
        opened = self.world.handles.pop(number % len(self.world.handles))
        file = opened.file
        file.writers -= 1
        markers = self.world.markers(opened.top) if is_epoch_name(opened.top) else []
        file.is_whole = file.writers == 0 and not file.is_spoilt
        is_marker = file in markers
        closed = opened.handle.close()
        assert closed.is_whole is file.is_whole
        assert closed.marker == (opened.top if is_marker and file.is_whole else None)
        if is_marker:
            top = self.world.find((opened.top,))
            assert top is not None
            for other in files_in(top).values():
                other.is_late = False
        elif file.is_whole:
            file.is_late = any(marker.is_whole for marker in markers)

    @precondition(lambda self: self.world.handles)
    @rule(number=st.integers(0, 9))
    def lose_connection(self, number: int) -> None:
        opened = self.world.handles.pop(number % len(self.world.handles))
        opened.file.writers -= 1
        opened.file.is_spoilt = opened.file.writers > 0 or opened.file.is_spoilt
        opened.handle.abandon()

    @rule(parts=paths)
    def remove_file(self, parts: Parts) -> None:
        known = self.world.find(parts)
        may = parts[0] not in self.world.sealed and known is not None and known.inner is None
        if self.succeeds(lambda: self.tree.remove_file(to(parts)), foretold=may):
            self.forget(parts)

    @rule(parts=paths)
    def remove_directory(self, parts: Parts) -> None:
        known = self.world.find(parts)
        may = parts[0] not in self.world.sealed and known is not None and known.inner == {}
        may = may and (len(parts) > 1 or not self.world.is_written(parts[0]))
        if self.succeeds(lambda: self.tree.remove_directory(to(parts)), foretold=may):
            self.forget(parts)

    @rule(old=paths, new=paths, replace=st.booleans())
    def rename(self, old: Parts, new: Parts, *, replace: bool) -> None:
        may = self.may_rename(old, new, replace=replace)
        marked: list[str | None] = []

        def request() -> None:
            outcome = self.tree.rename(to(old), to(new), replace=replace)
            marked.append(None if outcome is None else outcome.epoch)

        if not self.succeeds(request, foretold=may) or old == new:
            return
        moved = self.forget(old)
        inner = self.world.directory(new[:-1])
        assert inner is not None
        inner[new[-1]] = moved
        makes_epoch = len(new) == 1 and self.world.is_marked(new[0])
        makes_marker = (
            len(new) == 2
            and is_epoch_name(new[0])
            and marker_of(new[1]) is not None
            and moved.inner is None
            and moved.is_whole
        )
        assert marked == [new[0] if makes_epoch or makes_marker else None]

    def may_rename(self, old: Parts, new: Parts, *, replace: bool) -> bool:
        world = self.world
        source, target = world.find(old), world.find(new)
        if old == new:
            return source is not None and replace
        if {old[0], new[0]} & set(world.sealed):
            return False
        if source is None or world.directory(new[:-1]) is None or new[: len(old)] == old:
            return False
        leaves = old[0] != new[0] or 1 in {len(old), len(new)}
        if leaves and (world.is_written(old[0]) or (len(new) == 1 and world.is_written(new[0]))):
            return False
        if target is None or not replace:
            return target is None
        return target.inner is None if source.inner is None else target.inner == {}

    def forget(self, parts: Parts) -> Model:
        inner = self.world.directory(parts[:-1])
        assert inner is not None
        return inner.pop(parts[-1])

    @rule(epoch=st.sampled_from(EPOCHS))
    def seal(self, epoch: str) -> None:
        outcome = try_seal(self.tree, epoch, seal_id=uuid4(), quiet_seconds=0, sealed_by=BY_SFTP)
        known = self.world.find((epoch,))
        files = {} if known is None or known.inner is None else files_in(known)
        may = (
            epoch not in self.world.sealed
            and self.world.is_marked(epoch)
            and not self.world.is_written(epoch)
            and all(file.is_whole for file in files.values())
        )
        assert isinstance(outcome, SealRecord) is may, outcome
        if isinstance(outcome, SealWaits):
            return
        assert {(file.name, file.size_bytes, file.after_marker) for file in outcome.files} == {
            (name, len(file.content), file.is_late)
            for name, file in files.items()
            if marker_of(name) is None
        }
        self.world.sealed[epoch] = outcome

    @precondition(lambda self: self.world.sealed)
    @rule(number=st.integers(0, 9))
    def move_away(self, number: int) -> None:
        epoch = sorted(self.world.sealed)[number % len(self.world.sealed)]
        record = self.world.sealed.pop(epoch)
        name = move_to_processed(self.tree, record.id, record, reports={"REPORT.txt": b"x"})
        assert name not in self.world.moved
        moved = files_in(self.forget((epoch,)))
        self.world.moved[name] = {*moved, "REPORT.txt"}

    @invariant()
    def the_tree_is_as_the_model_says(self) -> None:
        self.compare((), self.world.upload)
        for name, files in self.world.moved.items():
            place = self.tree.place.path / "upload-processed" / name
            assert {
                str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()
            } == files

    def compare(self, parts: Parts, model: Model) -> None:
        if model.inner is None:
            assert fetch(self.tree, text(parts)) == model.content
            if parts[0] not in self.world.sealed:
                expected = 0o641 if model.is_late else 0o640
                assert (mode(self.tree, text(parts)) == expected) is model.is_whole
            return
        shown = {entry.name: entry.is_directory for entry in self.tree.list(to(parts))}
        assert shown == {name: inner.inner is not None for name, inner in model.inner.items()}
        for name, inner in model.inner.items():
            self.compare((*parts, name), inner)

    @invariant()
    def only_what_is_there_has_a_lock(self) -> None:
        there = set(self.world.upload.inner or ())
        held = {opened.top for opened in self.world.handles}
        assert lock_names(self.tree) <= there | held
        for epoch in EPOCHS:
            assert read_record(self.tree, epoch) == self.world.sealed.get(epoch)


def to(parts: Parts) -> ServedPath:
    return at(text(parts))


def text(parts: Parts) -> str:
    return "/upload/" + "/".join(parts) if parts else "/upload"


TestTreeModel = TreeMachine.TestCase
TestTreeModel.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
