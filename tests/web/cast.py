# SPDX-License-Identifier: Apache-2.0
"""What the console's tests have in common and what is no fixture."""

import base64
import hmac
import time
from collections.abc import Callable
from typing import Final

from django.test import Client

#: Everybody's; long enough for every rule about passwords.
PASSWORD: Final = "a bag through the slot"  # noqa: S105

#: The fixtures `browse` and `invite`.
Browse = Callable[..., Client]
Invite = Callable[..., str]


def code_for(secret: str) -> str:
    """Return the six digits that an authenticator app shows at this moment.

    Source:  RFC 6238 over RFC 4226, section 5.3.
    """
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.digest(key, int(time.time() // 30).to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"
