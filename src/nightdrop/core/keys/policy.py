# SPDX-License-Identifier: Apache-2.0
"""Which well-formed keys may be installed, and what their owner should hear.

Certificates and DSA never come this far: they are refused where their type is read,
because a `PublicKey` cannot be one.
"""

from dataclasses import dataclass
from typing import ClassVar

from nightdrop.core.keys.blob import KeyType
from nightdrop.core.keys.errors import RsaTooLong, RsaTooShort
from nightdrop.core.keys.public import PublicKey

RSA_MINIMUM_BITS = 2048
RSA_RECOMMENDED_BITS = 3072
#: OpenSSL and OpenSSH verify no longer ones.
RSA_MAXIMUM_BITS = 16384


@dataclass(frozen=True, slots=True)
class RsaIsShort:
    """The key is accepted; a longer one, or ed25519, would be better."""

    code: ClassVar[str] = "rsa-is-short"

    bits: int
    recommended_bits: int


@dataclass(frozen=True, slots=True)
class OptionsIgnored:
    """The key is accepted; these options of its line have no effect."""

    code: ClassVar[str] = "options-ignored"

    names: tuple[str, ...]


KeyWarning = RsaIsShort | OptionsIgnored


def check_policy(key: PublicKey) -> tuple[KeyWarning, ...]:
    """Decide whether `key` may be installed.

    Returns: what its owner should be told although it may.
    Raises:  RsaTooShort, RsaTooLong. Their offset is 0: the whole key is meant.
    """
    warnings: list[KeyWarning] = []
    if key.type is KeyType.RSA:
        if key.bits < RSA_MINIMUM_BITS:
            raise RsaTooShort(offset=0, bits=key.bits, minimum_bits=RSA_MINIMUM_BITS)
        if key.bits > RSA_MAXIMUM_BITS:
            raise RsaTooLong(offset=0, bits=key.bits, maximum_bits=RSA_MAXIMUM_BITS)
        if key.bits < RSA_RECOMMENDED_BITS:
            warnings.append(RsaIsShort(bits=key.bits, recommended_bits=RSA_RECOMMENDED_BITS))
    if key.options.ignored:
        warnings.append(OptionsIgnored(names=key.options.ignored))
    return tuple(warnings)
