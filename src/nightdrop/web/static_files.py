# SPDX-License-Identifier: Apache-2.0
"""Style sheets, scripts and pictures: read with the code, served from HOME.

Reading and publishing are apart because they happen with different rights: reading
before privileges drop, while the code's directory is open; publishing after, by the user
who will serve the files, so that root never writes where another user could lay a link.
"""

from collections.abc import Mapping
from functools import cache

from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage
from django.core.files.base import ContentFile


@cache
def read_static_files() -> Mapping[str, bytes]:
    """Return every static file of every installed app, by its path in URLs."""
    found: dict[str, bytes] = {}
    for finder in get_finders():
        for path, storage in finder.list([]):
            if path not in found:
                with storage.open(path) as file:
                    found[path] = file.read()
    return found


def publish_static_files() -> None:
    """Write the files into STATIC_ROOT, also under names that change with their content.

    Browsers may keep those for ever. Files of an older version stay: a page that was
    open during the upgrade still finds its style sheet.
    """
    sources = read_static_files()
    for path, content in sources.items():
        staticfiles_storage.delete(path)
        staticfiles_storage.save(path, ContentFile(content))
    storage = staticfiles_storage
    assert isinstance(storage, ManifestStaticFilesStorage)  # noqa: S101 - see settings.STORAGES
    for _, _, outcome in storage.post_process({path: (storage, path) for path in sources}):
        if isinstance(outcome, Exception):
            raise outcome
