# SPDX-License-Identifier: Apache-2.0
"""Which formats there are.

Formats of other makers are announced by entry points. Reading those is a matter of the
installation, so an edge does it and hands the formats on; nothing here looks for them.
"""

from collections.abc import Iterable

from nightdrop.core.formats.generic import GENERIC
from nightdrop.core.formats.spec import Format

#: The formats that come with Nightdrop; the first one is the default.
BUILT_IN: tuple[Format, ...] = (GENERIC,)


def format_named(name: str, *, formats: Iterable[Format] = BUILT_IN) -> Format:
    """Return the format with this `name`; KeyError when there is none."""
    for format_ in formats:
        if format_.name == name:
            return format_
    raise KeyError(name)
