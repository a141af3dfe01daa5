# SPDX-License-Identifier: Apache-2.0
r"""The options before a key in a line of an ``authorized_keys`` file.

Grammar: options = option *("," option), no blanks outside quotes
         option  = flag / valued "=" DQUOTE value DQUOTE
         value   = any characters; a double quote inside is written ``\"``
Names are read without regard to case. Two options become settings of the key,
``from`` and ``expiry-time``; the others mean nothing to a server without a shell and
are listed as ignored. A name that OpenSSH does not know is refused, as OpenSSH does:
``form="10.0.0.0/8"`` must not become a key that is good from everywhere.

Source:  sshd(8), "AUTHORIZED_KEYS FILE FORMAT"; auth-options.c for what may repeat.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from ipaddress import IPv4Network, IPv6Network, ip_network

from nightdrop.core.keys.errors import (
    CertificateRefused,
    ExpiryUnreadable,
    NetworkUnreadable,
    OptionRepeated,
    OptionUnknown,
    OptionUnreadable,
    TextBeforeKey,
)
from nightdrop.core.keys.paste import Paste
from nightdrop.core.keys.public import KeyOptions

FLAGS = frozenset(
    {
        "agent-forwarding",
        "cert-authority",
        "no-agent-forwarding",
        "no-port-forwarding",
        "no-pty",
        "no-touch-required",
        "no-user-rc",
        "no-x11-forwarding",
        "port-forwarding",
        "pty",
        "restrict",
        "user-rc",
        "verify-required",
        "x11-forwarding",
    }
)
VALUED = frozenset(
    {
        "command",
        "environment",
        "expiry-time",
        "from",
        "permitlisten",
        "permitopen",
        "principals",
        "tunnel",
    }
)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,31}(?=[=,\s]|\Z)")
# Mail programs break lines inside the quotes too; such a break is dropped.
_QUOTED = re.compile(r'"((?:\\"|[^"\\]|\\(?!"))*)"')
_EXPIRY = re.compile(r"([0-9]{8})(?:([0-9]{4})([0-9]{2})?)?(Z|UTC)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Option:
    name: str
    value: str
    value_start: int
    start: int
    end: int


def is_start_of_options(text: str, index: int) -> bool:
    """Say whether what stands at `index` can only be options, even with no key in sight."""
    name = _NAME.match(text, index)
    if name is None:
        return False
    if name[0].lower() in VALUED:
        return text[name.end() :].startswith('="')
    return name[0].lower() in FLAGS


def read_options(paste: Paste, start: int, *, zone: tzinfo) -> tuple[KeyOptions, int]:
    """Read options from `start` on.

    Units:   `zone` is that of an ``expiry-time`` without a Z (in OpenSSH the server's).
    Returns: the options, and the index just behind them. When several times are given
             the earliest counts, as in OpenSSH.
    Raises:  TextBeforeKey where these are no options at all; OptionUnknown,
             OptionUnreadable, OptionRepeated, NetworkUnreadable, ExpiryUnreadable;
             CertificateRefused for ``cert-authority``.
    """
    networks: tuple[str, ...] = ()
    expiries: list[datetime] = []
    ignored: list[str] = []
    end = start
    for option in _split_options(paste, start):
        end = option.end
        if option.name == "from":
            if networks:
                raise OptionRepeated(offset=paste.offset(option.start), name=option.name)
            networks = _read_networks(paste, option)
        elif option.name == "expiry-time":
            expiries.append(_read_expiry(paste, option, zone=zone))
        elif option.name == "cert-authority":
            raise CertificateRefused(offset=paste.offset(option.start), type=option.name)
        elif option.name not in ignored:
            ignored.append(option.name)
    options = KeyOptions(
        networks=networks, expires_at=min(expiries, default=None), ignored=tuple(ignored)
    )
    return options, end


def _split_options(paste: Paste, start: int) -> list[_Option]:
    options = [_split_option(paste, start, is_first=True)]
    while paste.text[options[-1].end :].startswith(","):
        options.append(_split_option(paste, options[-1].end + 1, is_first=False))
    return options


def _split_option(paste: Paste, start: int, *, is_first: bool) -> _Option:
    text = paste.text
    match = _NAME.match(text, start)
    if match is None:
        raise TextBeforeKey(offset=paste.offset(start))
    name, end = match[0].lower(), match.end()
    follower = text[end : end + 1]
    if name not in FLAGS | VALUED:
        if is_first and follower not in {"=", ","}:
            raise TextBeforeKey(offset=paste.offset(start))
        raise OptionUnknown(offset=paste.offset(start), name=name)
    if (follower == "=") is not (name in VALUED):
        raise OptionUnreadable(offset=paste.offset(end), name=name)
    if name in FLAGS:
        return _Option(name=name, value="", value_start=end, start=start, end=end)

    quoted = _QUOTED.match(text, end + 1)
    if quoted is None or not re.match(r"[,\s]|\Z", text[quoted.end() : quoted.end() + 1]):
        raise OptionUnreadable(offset=paste.offset(end + 1), name=name)
    return _Option(
        name=name,
        value=quoted[1],
        value_start=quoted.start(1),
        start=start,
        end=quoted.end(),
    )


def _read_networks(paste: Paste, option: _Option) -> tuple[str, ...]:
    networks: dict[str, None] = {}
    start = option.value_start
    for position, pattern in enumerate(option.value.split(","), start=1):
        network = _network("".join(pattern.split()))
        if network is None:
            raise NetworkUnreadable(offset=paste.offset(start), position=position)
        networks[str(network)] = None
        start += len(pattern) + 1
    return tuple(networks)


def _network(pattern: str) -> IPv4Network | IPv6Network | None:
    if "%" in pattern:
        # The interface of a link-local address means something on one machine only.
        return None
    try:
        return ip_network(pattern)
    except ValueError:
        return None


def _read_expiry(paste: Paste, option: _Option, *, zone: tzinfo) -> datetime:
    match = _EXPIRY.fullmatch("".join(option.value.split()))
    expiry = None if match is None else _time(match)
    if match is None or expiry is None:
        raise ExpiryUnreadable(offset=paste.offset(option.value_start))
    return expiry.replace(tzinfo=UTC if match[4] else zone)


def _time(match: re.Match[str]) -> datetime | None:
    digits = match[1] + (match[2] or "0000") + (match[3] or "00")
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S")  # noqa: DTZ007  # the zone follows
    except ValueError:
        return None
