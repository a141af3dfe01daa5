# SPDX-License-Identifier: Apache-2.0
"""The two short names of a key, as every tool shows them.

Source:  ``ssh-keygen -l -E sha256`` and ``-E md5``; RFC 4716, section 4, for MD5.
"""

import base64
import hashlib


def sha256_fingerprint(blob: bytes) -> str:
    """Return ``SHA256:`` and 43 characters of base64 without padding."""
    digest = hashlib.sha256(blob).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def md5_fingerprint(blob: bytes) -> str:
    """Return ``MD5:`` and 16 pairs of hex digits with colons between them.

    For people who compare it with what an older tool shows; it decides nothing.
    """
    return "MD5:" + hashlib.md5(blob, usedforsecurity=False).digest().hex(":")
