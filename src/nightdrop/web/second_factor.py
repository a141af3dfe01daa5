# SPDX-License-Identifier: Apache-2.0
"""Second factors: which count, and how their secrets are stored."""

from base64 import urlsafe_b64encode
from functools import cache
from uuid import UUID

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc] # allauth has no types
    """Encrypts the secrets of authenticator apps and recovery codes.

    The key is derived from the installation's secret key, which is in the file tree: a
    copy of the database alone gives nobody a second factor. Whoever restores a database
    needs the secret key that belongs to it.
    """

    def encrypt(self, text: str) -> str:
        """Return `text` as it is stored."""
        return _cipher(settings.SECRET_KEY).encrypt(text.encode()).decode("ascii")

    def decrypt(self, encrypted_text: str) -> str:
        """Return what `encrypt` was given."""
        return _cipher(settings.SECRET_KEY).decrypt(encrypted_text.encode()).decode()


def has_second_factor(person: UUID) -> bool:
    """Say whether this person has a factor of their own; recovery codes alone are none."""
    factors = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
    return bool(Authenticator.objects.filter(user_id=person, type__in=factors).exists())


@cache
def _cipher(secret_key: str) -> Fernet:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"nightdrop second factor")
    return Fernet(urlsafe_b64encode(derivation.derive(secret_key.encode())))
