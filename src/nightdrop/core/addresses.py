# SPDX-License-Identifier: Apache-2.0
"""Addresses of clients, read in one way wherever one is compared."""

from ipaddress import IPv4Address, IPv6Address, ip_address


def read_address(text: str) -> IPv4Address | IPv6Address:
    """Read an address as a socket or a header has it.

    Shape:   a zone after ``%`` is cut off; an IPv4 address in IPv6's clothes, as a socket for
             both has it, is the IPv4 address.
    Raises:  ValueError.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
