# SPDX-License-Identifier: Apache-2.0
"""What only the command line refuses."""

from typing import ClassVar

from nightdrop.core.errors import Refusal


class UnreadableFile(Refusal):
    """A file named on the command line cannot be read."""

    code: ClassVar[str] = "unreadable-file"

    def __init__(self, path: str, *, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why


class DatabaseAway(Refusal):
    """The database did not answer a command."""

    code: ClassVar[str] = "database-away"
    retry: ClassVar[bool] = True

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
