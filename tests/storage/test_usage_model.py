# SPDX-License-Identifier: Apache-2.0
"""The file tree's model once more; what is counted of it is checked after each request."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from nightdrop.storage.usage import count_anew, look_at_count, measure_upload
from storage.cast import at
from storage.test_tree_model import MAX_OPEN, Parts, TreeMachine, paths


class UsageMachine(TreeMachine):
    """`was_shared`: a file was changed by several at a time. `is_begun`: it was counted then."""

    def __init__(self) -> None:
        super().__init__()
        self.was_shared = False
        self.is_begun = False

    @precondition(lambda self: len(self.world.handles) < MAX_OPEN)
    @rule(parts=paths, truncate=st.booleans())
    def open_file(self, parts: Parts, *, truncate: bool) -> None:
        super().open_file(parts, truncate=truncate)
        self.was_shared |= any(opened.file.writers > 1 for opened in self.world.handles)

    @rule(size=st.integers(0, 9))
    def truncate_by_path(self, size: int) -> None:
        for name, model in (self.world.upload.inner or {}).items():
            if model.inner is None:
                self.tree.truncate(at(f"/upload/{name}"), size)
                self.was_shared |= model.writers > 0
                model.content = model.content[:size].ljust(size, b"\0")

    @rule()
    def count_anew(self) -> None:
        assert count_anew(self.tree.place, older_than_seconds=0)
        assert look_at_count(self.tree.place).usage == measure_upload(self.tree.place)
        self.is_begun = bool(self.world.handles)
        self.was_shared = False

    @invariant()
    def it_is_counted(self) -> None:
        """Never too little, and exactly once nobody writes; a new count forgets claims."""
        counted = look_at_count(self.tree.place).usage
        there = measure_upload(self.tree.place)
        assert counted.open.files == there.open.files
        assert counted.sealed == there.sealed
        if not self.is_begun:
            assert counted.open.size_bytes >= there.open.size_bytes
            if not (self.was_shared or self.world.handles):
                assert counted == there


TestUsageModel = UsageMachine.TestCase
TestUsageModel.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
