# SPDX-License-Identifier: Apache-2.0
"""Every way in which a key can be refused, one class each.

A refusal carries `offset`, the byte of what was given at which the fault lies, and
the facts that a sentence for people needs. No fact is a piece of the key: numbers,
the name of a field, or a word whose shape was checked before (a key type, an option's
name). So a private key that nobody recognised as one cannot leave through a refusal.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from nightdrop.core.errors import Refusal


class PrivateFormat(StrEnum):
    """What kind of private key was recognised."""

    #: ``BEGIN OPENSSH PRIVATE KEY``, or the body alone.
    OPENSSH = "openssh"
    #: PKCS#1, SEC 1, PKCS#8, plain or encrypted, or the DER within; PKCS#12 too.
    PEM = "pem"
    #: A PuTTY key file; it holds the public half as well.
    PPK = "ppk"
    #: The commercial SSH Tectia format.
    SSH_COM = "ssh.com"
    #: Protocol 1, dead since 2017.
    SSH1 = "ssh1"


@dataclass(kw_only=True, eq=False)
class KeyRefused(Refusal):
    """The root of this table. `offset` counts bytes of what was given, from 0."""

    code: ClassVar[str] = "key-refused"

    offset: int

    def __str__(self) -> str:
        """Return the code and the place, which is what a log may have."""
        return f"{self.code} at byte {self.offset}"


# What was given as a whole


@dataclass(kw_only=True, eq=False)
class NotAKey(KeyRefused):
    """Nothing in the text looks like a public key."""

    code: ClassVar[str] = "not-a-key"


@dataclass(kw_only=True, eq=False)
class KeyFileTooLarge(KeyRefused):
    """More text than any list of keys needs."""

    code: ClassVar[str] = "key-file-too-large"

    size_bytes: int
    limit_bytes: int


@dataclass(kw_only=True, eq=False)
class PrivateKeyGiven(KeyRefused):
    """A private key stands where a public one belongs; it has to count as leaked."""

    code: ClassVar[str] = "private-key-given"

    format: PrivateFormat


@dataclass(kw_only=True, eq=False)
class SeveralKeys(KeyRefused):
    """One key was asked for and `count` were given; `offset` is that of the second."""

    code: ClassVar[str] = "several-keys"

    count: int


# The text around the key


@dataclass(kw_only=True, eq=False)
class TextBeforeKey(KeyRefused):
    """Words precede the key in its line; they may be options that mail has damaged.

    They are not skipped: a lost ``from=`` would let the key in from everywhere.
    """

    code: ClassVar[str] = "text-before-key"


@dataclass(kw_only=True, eq=False)
class Base64Damaged(KeyRefused):
    """A character that does not belong, wrong padding, or bits that must be zero."""

    code: ClassVar[str] = "base64-damaged"


@dataclass(kw_only=True, eq=False)
class EndLineMissing(KeyRefused):
    """A ``BEGIN`` line has no ``END`` line; `label` is what stands between the dashes."""

    code: ClassVar[str] = "end-line-missing"

    label: str


# Options before the key


@dataclass(kw_only=True, eq=False)
class OptionUnknown(KeyRefused):
    """OpenSSH has no such option, and would ignore the whole line for it."""

    code: ClassVar[str] = "option-unknown"

    name: str


@dataclass(kw_only=True, eq=False)
class OptionUnreadable(KeyRefused):
    """The value of the option `name` is missing, not in quotes, or not closed."""

    code: ClassVar[str] = "option-unreadable"

    name: str


@dataclass(kw_only=True, eq=False)
class OptionRepeated(KeyRefused):
    """An option that may stand once stands twice."""

    code: ClassVar[str] = "option-repeated"

    name: str


@dataclass(kw_only=True, eq=False)
class OptionsWithoutKey(KeyRefused):
    """Options are followed by no key."""

    code: ClassVar[str] = "options-without-key"


@dataclass(kw_only=True, eq=False)
class NetworkUnreadable(KeyRefused):
    """A pattern of ``from=`` is neither an address nor a network.

    Host names, wildcards and negations are OpenSSH's too, but cannot be kept here.
    `position` counts the patterns from 1.
    """

    code: ClassVar[str] = "network-unreadable"

    position: int


@dataclass(kw_only=True, eq=False)
class ExpiryUnreadable(KeyRefused):
    """The value of ``expiry-time=`` is no time."""

    code: ClassVar[str] = "expiry-unreadable"


# The key itself


@dataclass(kw_only=True, eq=False)
class Truncated(KeyRefused):
    """The key ends within `field`; at least `missing_bytes` more were announced."""

    code: ClassVar[str] = "key-truncated"

    field: str
    missing_bytes: int


@dataclass(kw_only=True, eq=False)
class TrailingBytes(KeyRefused):
    """The key is whole, and `count` bytes follow it."""

    code: ClassVar[str] = "trailing-bytes"

    count: int


@dataclass(kw_only=True, eq=False)
class DerDamaged(KeyRefused):
    """The body of a PEM block is not the structure that its label promises."""

    code: ClassVar[str] = "der-damaged"

    label: str


@dataclass(kw_only=True, eq=False)
class UnknownType(KeyRefused):
    """The key is of a kind that is not accepted, such as ``ssh-ed448``."""

    code: ClassVar[str] = "key-type-unknown"

    type: str


@dataclass(kw_only=True, eq=False)
class TypeUnreadable(KeyRefused):
    """The bytes that should name the key's type are no name."""

    code: ClassVar[str] = "key-type-unreadable"


@dataclass(kw_only=True, eq=False)
class TypeMismatch(KeyRefused):
    """The line says `named`, the key inside says `found`."""

    code: ClassVar[str] = "key-type-mismatch"

    named: str
    found: str


@dataclass(kw_only=True, eq=False)
class NumberNotCanonical(KeyRefused):
    """A number is negative or has more leading zero bytes than it may."""

    code: ClassVar[str] = "number-not-canonical"

    field: str


@dataclass(kw_only=True, eq=False)
class FieldUnfit(KeyRefused):
    """A field's length or content cannot be: a curve's name, an application's name."""

    code: ClassVar[str] = "field-unfit"

    field: str


@dataclass(kw_only=True, eq=False)
class PointNotOnCurve(KeyRefused):
    """The public point is not on the curve, or not written as SSH writes it."""

    code: ClassVar[str] = "point-not-on-curve"

    type: str


@dataclass(kw_only=True, eq=False)
class PointWeak(KeyRefused):
    """The public point is one of the few for which anybody can sign."""

    code: ClassVar[str] = "point-weak"

    type: str


@dataclass(kw_only=True, eq=False)
class RsaNumbersUnfit(KeyRefused):
    """The exponent is even, 1, or not below the modulus; or the modulus is even."""

    code: ClassVar[str] = "rsa-numbers-unfit"

    field: str


# Rules about keys that are well formed


@dataclass(kw_only=True, eq=False)
class DsaRefused(KeyRefused):
    """DSA is 1024 bits and SHA-1, always."""

    code: ClassVar[str] = "dsa-refused"


@dataclass(kw_only=True, eq=False)
class RsaTooShort(KeyRefused):
    """The modulus has `bits`; `minimum_bits` is asked for."""

    code: ClassVar[str] = "rsa-too-short"

    bits: int
    minimum_bits: int


@dataclass(kw_only=True, eq=False)
class RsaTooLong(KeyRefused):
    """The modulus has `bits`; libraries verify up to `maximum_bits`."""

    code: ClassVar[str] = "rsa-too-long"

    bits: int
    maximum_bits: int


@dataclass(kw_only=True, eq=False)
class CertificateRefused(KeyRefused):
    """A certificate, or a line that trusts an authority; `type` says which."""

    code: ClassVar[str] = "certificate-refused"

    type: str
