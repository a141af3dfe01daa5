# SPDX-License-Identifier: Apache-2.0
"""The web part: one master, which `nightdrop serve` supervises, and its workers.

`serve` may have been started by root for a service user who cannot read the directory
that the code lies in. So everything is loaded by `preload_web` before rights are given
up, and `run_web` and its forked workers need nothing from that directory any more; a
test listens to every file that they open.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Final

import django
from django.conf import settings
from django.contrib.auth import get_backends
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import get_default_password_validators
from django.core.cache import caches
from django.db import connections
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.urls import get_resolver
from django.utils.module_loading import import_string
from django.utils.translation import gettext

from nightdrop.config import Config, variable_name
from nightdrop.web.server import ConsoleServer, open_listener
from nightdrop.web.static_files import publish_static_files, read_static_files

#: Threads of one worker; a pool of settings.DATABASES has a connection for each.
THREADS: Final = 4
#: What is imported no earlier than at its first use, and would then be out of reach.
_LATE_IMPORTS: Final = (
    "django.contrib.sessions.backends.db.SessionStore",
    "django.contrib.messages.storage.fallback.FallbackStorage",
    "qrcode.image.svg.SvgPathImage",
    "psycopg_pool.ConnectionPool",
)


def preload_web() -> None:
    """Load code, templates, texts, static files and lists; idempotent, opens no connection."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nightdrop.site.settings")
    django.setup()
    for name in _LATE_IMPORTS:
        import_string(name)
    for alias in settings.DATABASES:
        connections[alias].settings_dict.copy()
    for alias in settings.CACHES:
        caches[alias].key_prefix.strip()
    get_resolver().reverse_dict.keys()
    get_backends()
    get_default_password_validators()
    make_password("loads Argon2")
    gettext("loads the texts")
    "loads.the.codec".encode("idna")
    for backend in engines.all():
        assert isinstance(backend, DjangoTemplates)  # noqa: S101 - see settings.TEMPLATES
        backend.engine.template_loaders.copy()
    read_static_files()


def run_web(config: Config, *, announce: Callable[[str, int], None]) -> int:
    """Serve the console until SIGTERM, and finish what has begun.

    Calls `announce("web", port)` when the port takes connections.
    Returns: 0, or 1 when the port could not be had or the workers would not stay up.
    """
    try:
        listener = open_listener(config.bind, config.web_port)
    except OSError as error:
        sys.stderr.write(
            f"nightdrop: web cannot listen on {config.bind}, port {config.web_port}:"
            f" {error.strerror}; set {variable_name('web_port')} to another\n"
        )
        return 1
    with listener:
        preload_web()
        publish_static_files()
        # After the files are in place, for WhiteNoise lists them; before the fork.
        import_module(_APPLICATION.partition(":")[0])
        announce("web", listener.getsockname()[1])
        server = ConsoleServer(
            _APPLICATION, listener=listener, workers=config.web_workers, threads=THREADS
        )
        return server.run()


_APPLICATION: Final = "nightdrop.site.wsgi:application"
