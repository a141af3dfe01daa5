# SPDX-License-Identifier: Apache-2.0
"""SSH keys: reading them from whatever people paste, and deciding which may be installed.

Pure functions over bytes. Where things are:
    detect        what was given: the way in
    leak          a private key where a public one belongs
    paste, armor  text and base64, repaired, with the offset of everything
    openssh, options, rfc4716, pem    one format each
    wire, blob, edwards               the binary form that all formats end in
    public        the value; fingerprint, policy, errors    what is said about it
"""

from nightdrop.core.keys.blob import KeyType
from nightdrop.core.keys.detect import read_authorized_keys, read_public_key
from nightdrop.core.keys.errors import KeyRefused, PrivateKeyGiven
from nightdrop.core.keys.policy import KeyWarning, OptionsIgnored, RsaIsShort, check_policy
from nightdrop.core.keys.public import KeyOptions, PublicKey, openssh_line

__all__ = [
    "KeyOptions",
    "KeyRefused",
    "KeyType",
    "KeyWarning",
    "OptionsIgnored",
    "PrivateKeyGiven",
    "PublicKey",
    "RsaIsShort",
    "check_policy",
    "openssh_line",
    "read_authorized_keys",
    "read_public_key",
]
