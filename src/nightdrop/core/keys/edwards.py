# SPDX-License-Identifier: Apache-2.0
"""Points of the curve edwards25519, as far as a public key must be looked at.

The libraries take any 32 bytes as an ed25519 key and fail later, at the first
signature; somebody who installs a damaged key should hear of it when installing.

Format:  y as 255 bits, least significant byte first, then the sign of x as one bit.
Source:  RFC 8032, sections 5.1 and 5.1.3.
"""

SIZE_BYTES = 32

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_SIGN_BIT = 1 << 255


def is_on_curve(encoded: bytes) -> bool:
    """Say whether 32 bytes are the canonical encoding of a point.

    An x exists for this y exactly where (y^2 - 1) / (d y^2 + 1) is a square; Euler's
    criterion tells, and a product is as square as a quotient.
    """
    number = int.from_bytes(encoded, "little")
    y, is_negative = number % _SIGN_BIT, number >= _SIGN_BIT
    if y >= _P:
        return False
    numerator, denominator = (y * y - 1) % _P, (_D * y * y + 1) % _P
    if numerator == 0:
        # Here x is zero, which has no negative.
        return not is_negative
    return pow(numerator * denominator, (_P - 1) // 2, _P) == 1


def is_of_small_order(encoded: bytes) -> bool:
    """Say whether a point on the curve is one of the eight of order 1, 2, 4 or 8.

    With such a "key", signatures hold that nobody's private key made. Orders 1 and 2
    have y = 1 and -1, order 4 has y = 0. A point of order 8 doubles to one of order 4,
    which is x^2 + y^2 = 0; with x^2 from the curve that reads d y^4 + 2 y^2 - 1 = 0.
    """
    y = int.from_bytes(encoded, "little") % _SIGN_BIT
    square = y * y % _P
    return y * (square - 1) * (_D * square * square + 2 * square - 1) % _P == 0
