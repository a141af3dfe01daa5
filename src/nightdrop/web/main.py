# SPDX-License-Identifier: Apache-2.0
"""The web part: one master, which `nightdrop serve` supervises, and its workers.

`serve` may have been started by root for a service user who cannot read the directory
that the code lies in. So everything is loaded by `preload_web` before rights are given
up, and `run_web` and its forked workers need nothing from that directory any more; a
test listens to every file that they open.
"""

import codecs
import os
import socket
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final

import django
from django.conf import settings
from django.contrib.auth import get_backends
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import get_default_password_validators
from django.core.cache import caches
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.urls import get_resolver
from django.utils.formats import get_format
from django.utils.module_loading import import_string
from django.utils.translation import gettext

from nightdrop.config import Config
from nightdrop.web.server import ConsoleServer
from nightdrop.web.static_files import publish_static_files, read_static_files

#: Threads of one worker; a pool of settings.DATABASES has a connection for each.
THREADS: Final = 4
#: What is imported no earlier than at its first use, and would then be out of reach.
_LATE_MODULES: Final = (
    "granian._loops",
    "granian._signals",
    "multiprocessing.popen_fork",
)
_LATE_IMPORTS: Final = (
    "django.contrib.sessions.backends.db.SessionStore",
    "django.contrib.messages.storage.fallback.FallbackStorage",
    "qrcode.image.svg.SvgPathImage",
    "psycopg_pool.ConnectionPool",
    "nightdrop.web.forms.InvitedSignupForm",
)


def preload_web() -> None:
    """Load code, templates, texts, static files and lists; idempotent, opens no connection."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nightdrop.site.settings")
    django.setup()
    for module in _LATE_MODULES:
        import_module(module)
    named_in_settings = (
        settings.SESSION_SERIALIZER,
        settings.STORAGES["staticfiles"]["BACKEND"],
        *settings.MIDDLEWARE,
    )
    for name in (*_LATE_IMPORTS, *named_in_settings):
        import_string(name)
    for alias in settings.DATABASES:
        connections[alias].settings_dict.copy()
    for alias in settings.CACHES:
        caches[alias].key_prefix.strip()
    resolver = get_resolver()
    resolver.reverse_dict.keys()
    for status in (400, 403, 404, 500):
        resolver.resolve_error_handler(status)
    get_backends()
    get_default_password_validators()
    make_password("loads Argon2")
    gettext("loads the texts")
    get_format("SHORT_DATE_FORMAT")
    for codec in ("idna", "unicode_escape"):
        codecs.lookup(codec)
    for backend in engines.all():
        assert isinstance(backend, DjangoTemplates)  # noqa: S101 - see settings.TEMPLATES
        backend.engine.template_loaders.copy()
        len(backend.engine.template_context_processors)
    read_static_files()


def run_web(
    config: Config,
    *,
    listeners: Mapping[str, socket.socket],
    announce: Callable[[str, int], None],
) -> int:
    """Serve the console until SIGTERM, and finish what has begun.

    `listeners` has a socket that already takes connections; they wait for the first worker.
    Calls `announce("web", port)` when it is about to.
    Returns: 0, or 1 when the workers would not stay up.
    """
    with listeners["web_port"] as listener:
        preload_web()
        publish_static_files()
        # After the files are in place, for WhiteNoise lists them when it is made.
        application = get_wsgi_application()
        announce("web", listener.getsockname()[1])
        server = ConsoleServer(
            application, listener=listener, workers=config.web_workers, threads=THREADS
        )
        return server.run()
