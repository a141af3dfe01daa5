# SPDX-License-Identifier: Apache-2.0
"""A template loader that has read every template before the first request.

Django's own loader looks at the disk whenever a template is asked for that it has not
seen, and allauth asks for many that do not exist. A server that has dropped its rights
may be kept out of the directory that its code lies in; it must not look there again.
"""

from pathlib import Path

from django.template.engine import Engine
from django.template.loaders import locmem
from django.template.utils import get_app_template_dirs


class Loader(locmem.Loader):
    """Serves what `read_templates` found when the engine was made."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, read_templates())


def read_templates() -> dict[str, str]:
    """Return the text of every template of every installed app, by name.

    An app that is installed earlier wins, as with Django's own loader.
    """
    found: dict[str, str] = {}
    for directory in map(Path, get_app_template_dirs("templates")):
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                found.setdefault(
                    path.relative_to(directory).as_posix(), path.read_text(encoding="utf-8")
                )
    return found
