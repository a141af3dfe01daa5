# SPDX-License-Identifier: Apache-2.0
"""What happens to every request, in the order in which settings.MIDDLEWARE has it."""

from collections.abc import Callable, Mapping
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.shortcuts import redirect

from nightdrop.config.settings import LOOPBACK_HOSTS
from nightdrop.core.errors import Refusal
from nightdrop.db.models import Person
from nightdrop.web.second_factor import has_second_factor
from nightdrop.web.views import failures, health

Handler = Callable[[HttpRequest], HttpResponse]


class HealthMiddleware:
    """Answers monitors before anybody asks for a host name, a session or a sign-in."""

    #: Not in site.urls: there the questions above would come first.
    PATHS: Final[Mapping[str, Handler]] = {"/healthz": health.healthz, "/readyz": health.readyz}

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or pass on."""
        return self.PATHS.get(request.path_info, self._get_response)(request)


class LoopbackOrTlsMiddleware:
    """Serves plain HTTP to this machine alone; everybody else comes over TLS.

    Cookies are `Secure` by the settings. Some browsers do not send such cookies over
    plain HTTP even to their own machine, so there the mark is taken off again.
    """

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or refuse what would travel in the open."""
        if request.is_secure():
            return self._get_response(request)
        host, _ = split_domain_port(request.get_host())
        if host not in LOOPBACK_HOSTS:
            return failures.needs_tls(request)
        response = self._get_response(request)
        for cookie in response.cookies.values():
            cookie["secure"] = ""
        return response


class SecondFactorMiddleware:
    """Sends operators without a second factor to set one up, wherever they wanted to go."""

    #: The way to a second factor, and out.
    OPEN: Final = frozenset(
        {"account_logout", "account_reauthenticate", "mfa_activate_totp", "mfa_index"}
    )

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass on; the decision is taken later, in `process_view`."""
        return self._get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        _view: Handler,
        _args: tuple[object, ...],
        _kwargs: Mapping[str, object],
    ) -> HttpResponse | None:
        """Decide once the view is known, before it runs."""
        person = request.user
        if not isinstance(person, Person) or not person.is_operator:
            return None
        match = request.resolver_match
        if match is None or match.view_name in self.OPEN or has_second_factor(person.id):
            return None
        return redirect("mfa_activate_totp")


class RefusalMiddleware:
    """Turns a refusal that a view lets pass into the page that explains it."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass on; `process_exception` is what matters."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer refusals; anything else is a failure of ours."""
        return failures.refused(request, exception) if isinstance(exception, Refusal) else None
