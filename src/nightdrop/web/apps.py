# SPDX-License-Identifier: Apache-2.0
"""The Django app of the console: pages, templates and styles, no tables."""

import logging

from django.apps import AppConfig


class WebConfig(AppConfig):
    """Pages for people, the districts' and the operators'."""

    name = "nightdrop.web"
    label = "web"
    verbose_name = "Nightdrop console"

    def ready(self) -> None:
        """Silence the loggers that write paths, since an invitation's path is its secret.

        Failures are logged by `views.failures`, by the name of the view.
        """
        for name in ("django.request", "django.security"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
