# SPDX-License-Identifier: Apache-2.0
"""The pages for what went wrong. None of them reads the session or the database."""

import sys
from http import HTTPStatus
from secrets import token_hex

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from nightdrop.core.errors import Refusal
from nightdrop.web.errors import answer_to

_log = structlog.get_logger()


def refused(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """Say which rule refused, and what to do."""
    answer, text = answer_to(refusal)
    facts = {"title": answer.title, "text": text}
    return render(request, "web/failure.html", facts, status=answer.status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's
    """Answer what cannot be understood, such as a host name that is not ours."""
    return render(request, "400.html", status=HTTPStatus.BAD_REQUEST)


def needs_tls(request: HttpRequest) -> HttpResponse:
    """Answer a console that was called over plain HTTP from another machine."""
    return render(request, "web/needs_tls.html", status=HTTPStatus.FORBIDDEN)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's
    """Answer a form whose cookie did not come back."""
    return render(request, "web/csrf_failed.html", status=HTTPStatus.FORBIDDEN)


def failed(request: HttpRequest) -> HttpResponse:
    """Answer a failure that no rule foresaw: 503 without a database, else 500.

    The page shows a reference that is also in the log, where the traceback is.
    """
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError | InterfaceError):
        response = render(request, "web/database_away.html", status=HTTPStatus.SERVICE_UNAVAILABLE)
        response["Retry-After"] = "5"
        return response
    reference = token_hex(4)
    match = request.resolver_match
    view = match.view_name if match else None
    _log.error("page-failed", reference=reference, view=view, exc_info=error)
    return render(
        request, "500.html", {"reference": reference}, status=HTTPStatus.INTERNAL_SERVER_ERROR
    )
