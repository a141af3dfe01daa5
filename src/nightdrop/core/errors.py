# SPDX-License-Identifier: Apache-2.0
"""The root of every refusal.

A refusal says that a rule forbids what somebody asked for. It carries facts as
attributes and no sentence for people: each edge (command line, SFTP, web) has one
table that turns a refusal into what its reader sees. A fault in a district's file
is never a refusal; it is a `core.formats.findings.Finding`.
"""

from typing import ClassVar


class Refusal(Exception):
    """Something that was asked for is against a rule.

    `code` is a stable slug that logs and audit events may carry; `retry` says
    whether the very same request can succeed later without anybody changing it.
    """

    code: ClassVar[str] = "refused"
    retry: ClassVar[bool] = False
