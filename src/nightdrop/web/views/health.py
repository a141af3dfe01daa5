# SPDX-License-Identifier: Apache-2.0
"""What monitors and load balancers ask: whether it is up, and whether it can work.

The answers name no host, address or version: anybody may ask.
"""

from http import HTTPStatus

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from nightdrop.storage.tree import Tree


def healthz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 while this process can answer at all; nothing else is touched."""
    return HttpResponse("ok\n", content_type="text/plain", headers=_FRESH)


def readyz(_request: HttpRequest) -> HttpResponse:
    """Answer 200 when the database and the file tree can be reached, else 503.

    Shape:   ``{"database": "ok", "tree": "unreachable"}``.
    """
    parts = {"database": _is_database_ready(), "tree": Tree(settings.NIGHTDROP.tree).is_ready()}
    return JsonResponse(
        {part: "ok" if is_ready else "unreachable" for part, is_ready in parts.items()},
        status=HTTPStatus.OK if all(parts.values()) else HTTPStatus.SERVICE_UNAVAILABLE,
        headers=_FRESH,
    )


_FRESH = {"Cache-Control": "no-store"}


def _is_database_ready() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError):
        return False
    return True
