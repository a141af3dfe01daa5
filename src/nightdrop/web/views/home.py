# SPDX-License-Identifier: Apache-2.0
"""The page that a person sees after signing in."""

import json

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from nightdrop import __version__
from nightdrop.config import Config


@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Greet, say where files go, and what to do next."""
    config: Config = settings.NIGHTDROP
    return render(
        request,
        "web/home.html",
        {"host": config.public_host, "port": _sftp_port(config), "version": __version__},
    )


def _sftp_port(config: Config) -> int:
    """Return the port that the SFTP server listens on; 0 when that is not known.

    `serve` writes down what it got, which is news when it was told to take any.
    """
    try:
        ports = json.loads(config.ports_file.read_text(encoding="utf-8"))
        return int(ports["sftp"])
    except (OSError, ValueError, KeyError):
        return config.sftp_port
