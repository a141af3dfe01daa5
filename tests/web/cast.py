# SPDX-License-Identifier: Apache-2.0
"""What the console's tests have in common and what is no fixture."""

from collections.abc import Callable
from typing import Final

from django.test import Client

#: Everybody's; long enough for every rule about passwords.
PASSWORD: Final = "a bag through the slot"  # noqa: S105

#: The fixtures `browse` and `invite`.
Browse = Callable[..., Client]
Invite = Callable[..., str]
