# SPDX-License-Identifier: Apache-2.0
"""Django's settings: the minimum for migrations; the web part completes them."""

SECRET_KEY = "replaced-by-part-g"  # noqa: S105
INSTALLED_APPS = [
    "nightdrop.db",
    "procrastinate.contrib.django",
    "nightdrop.web",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "django.contrib.auth",
    "django.contrib.postgres",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
AUTH_USER_MODEL = "db.Person"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "nightdrop"}}
ROOT_URLCONF = "nightdrop.site.urls"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
