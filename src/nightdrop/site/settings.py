# SPDX-License-Identifier: Apache-2.0
"""Django's settings. Values of an installation come from `nightdrop.config`.

Importing this needs no file and no database: mypy, import-linter and the documentation
import it on machines that have neither. Without a secret key, sessions cannot be signed
and Django refuses to; there is no default one.
"""

from csp.constants import NONE, SELF

from nightdrop.config import load_config, read_secret_key
from nightdrop.db.connections import django_databases

# --- This installation ------------------------------------------------------------------

#: The settings of this node, for pages and health checks.
NIGHTDROP = load_config()

SECRET_KEY = read_secret_key(NIGHTDROP) or ""
ALLOWED_HOSTS = list(NIGHTDROP.web_hosts)
DEBUG = False

# --- What it is made of -----------------------------------------------------------------

# No django.contrib.admin: its own login would let a password alone pass a second factor.
INSTALLED_APPS = [
    "nightdrop.db",
    "procrastinate.contrib.django",
    # Before allauth, whose templates it overrides.
    "nightdrop.web",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django.forms",
]

MIDDLEWARE = [
    "csp.middleware.CSPMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "nightdrop.web.middleware.HealthMiddleware",
    "nightdrop.web.middleware.LoopbackOrTlsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Every page asks for a sign-in unless it says otherwise.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "nightdrop.web.middleware.SecondFactorMiddleware",
    "nightdrop.web.middleware.RefusalMiddleware",
]

ROOT_URLCONF = "nightdrop.site.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["nightdrop.web.template_store.Loader"],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
# Forms take their templates from the loader above, which has them in memory.
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# The command line and the parts configure logging, before Django is set up.
LOGGING_CONFIG = None

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Database ---------------------------------------------------------------------------

# One alias for each role that this process may be; `db.connections` says which and why.
DATABASES = django_databases(NIGHTDROP)

# Rate limits and the guard against replayed codes hold across processes and nodes.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}
}

PROCRASTINATE_IMPORT_PATHS = ["nightdrop.jobs.tasks"]

# --- People -----------------------------------------------------------------------------

AUTH_USER_MODEL = "db.Person"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "name")},
    },
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"

ACCOUNT_ADAPTER = "nightdrop.web.account_adapter.AccountAdapter"
ACCOUNT_FORMS = {"signup": "nightdrop.web.forms.InvitedSignupForm"}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
# An address is proved by the invitation that was sent to it.
ACCOUNT_EMAIL_VERIFICATION = "none"
# Sign-up is closed to strangers, so its form may say that an address is taken; the
# alternative would send mail.
ACCOUNT_PREVENT_ENUMERATION = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
# Always: without the question, until SESSION_COOKIE_AGE.
ACCOUNT_SESSION_REMEMBER = True
# Failed sign-ins: 5 in five minutes for one address of mail, 10 a minute for one network
# address. The others are allauth's defaults.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/300s/key"}

MFA_ADAPTER = "nightdrop.web.second_factor.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = f"Nightdrop {NIGHTDROP.public_host}"
# One step of 30 seconds either way: telephones' clocks are not exact.
MFA_TOTP_TOLERANCE = 1

# --- Browsers ---------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        # The QR code of an authenticator app is a data: picture.
        "img-src": [SELF, "data:"],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

# TLS ends at a proxy in front. A client that forges the header harms only itself: its
# browser will not send a Secure cookie over plain HTTP.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 365 * 24 * 3600
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

SESSION_COOKIE_NAME = "nightdrop_session"
SESSION_COOKIE_AGE = 14 * 24 * 3600
# On loopback `web.middleware.LoopbackOrTlsMiddleware` takes the mark off.
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_NAME = "nightdrop_csrf"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "nightdrop.web.views.failures.csrf_failed"

# --- Files ------------------------------------------------------------------------------

STATIC_URL = "/static/"
# Filled by `web.static_files` when the console starts.
STATIC_ROOT = NIGHTDROP.home / "static"
STORAGES = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}
WHITENOISE_ALLOW_ALL_ORIGINS = False
