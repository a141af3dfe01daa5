# SPDX-License-Identifier: Apache-2.0
"""The application that `nightdrop.web.main` gives to its server."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
