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


class PortTaken(Refusal):
    """Another program listens where `part` should."""

    code: ClassVar[str] = "port-taken"

    def __init__(self, part: str, *, address: str, port: int, setting: str) -> None:
        super().__init__(part, address, port, setting)
        self.part = part
        self.address = address
        self.port = port
        self.setting = setting
