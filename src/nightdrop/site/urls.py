# SPDX-License-Identifier: Apache-2.0
"""Every URL of the site. Each has a row in the permission table of `tests/web`.

allauth's pages are listed one by one: what is not listed does not exist. Left out are
those that send mail (password reset, further addresses), until Nightdrop sends mail.
/healthz and /readyz are answered earlier, by `web.middleware.HealthMiddleware`.
"""

from allauth.account import views as account
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from django.urls import URLPattern, URLResolver, path

from nightdrop.web.views.home import home
from nightdrop.web.views.invitations import invitation

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home, name="home"),
    path("invitations/<str:token>", invitation, name="invitation"),
    path("account/login/", account.login, name="account_login"),
    path("account/logout/", account.logout, name="account_logout"),
    path("account/signup/", account.signup, name="account_signup"),
    path("account/inactive/", account.account_inactive, name="account_inactive"),
    path("account/reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("account/password/", account.password_change, name="account_change_password"),
    path("account/factors/", factors.index, name="mfa_index"),
    path("account/factors/authenticate/", factors.authenticate, name="mfa_authenticate"),
    path("account/factors/reauthenticate/", factors.reauthenticate, name="mfa_reauthenticate"),
    path("account/factors/app/activate/", totp.activate_totp, name="mfa_activate_totp"),
    path("account/factors/app/remove/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path(
        "account/factors/codes/",
        recovery_codes.view_recovery_codes,
        name="mfa_view_recovery_codes",
    ),
    path(
        "account/factors/codes/generate/",
        recovery_codes.generate_recovery_codes,
        name="mfa_generate_recovery_codes",
    ),
    path(
        "account/factors/codes/download/",
        recovery_codes.download_recovery_codes,
        name="mfa_download_recovery_codes",
    ),
]

handler400 = "nightdrop.web.views.failures.bad_request"
handler500 = "nightdrop.web.views.failures.failed"
