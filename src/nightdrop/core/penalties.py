# SPDX-License-Identifier: Apache-2.0
"""How long somebody must wait who fails to log in again and again.

What is counted, for whom and where it is kept is in `sftp.guard` and `storage.ledger`; here is
only the rule. It is mild on purpose: a key cannot be guessed, so that a wait has to slow down
programs which try, and must not shut out a district whose script has the wrong key for a night.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address
from typing import Final

from nightdrop.core.addresses import read_address

#: Failures are forgotten when so much time has passed since the last one and its wait.
FORGOTTEN_AFTER: Final = timedelta(hours=1)
#: A source is known for so long after somebody logged in from there.
KNOWN_FOR: Final = timedelta(days=7)
#: A known source has so many times the room of a stranger: whole bureaus share one address.
KNOWN_TIMES: Final = 10
#: Long before anything happened.
NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: A customer of an internet provider has at least one network of this size, and may use all of it.
_IPV6_HOST_BITS: Final = 64
#: The largest wait is reached long before this many doublings.
_MOST_DOUBLINGS: Final = 30


@dataclass(frozen=True, slots=True)
class Strikes:
    """Failed logins that are counted together: how many, the last one, and the wait they brought.

    A wait goes on until `until`, which is in the past when there is none.
    """

    failures: int = 0
    failed_at: datetime = NEVER
    until: datetime = NEVER

    def is_waiting(self, *, now: datetime) -> bool:
        """Whether nobody may try now."""
        return now < self.until and not self.is_forgotten(now=now)

    def is_forgotten(self, *, now: datetime) -> bool:
        """Whether these failures no longer count.

        A failure far in the future was noted by a clock that was wrong and has been set back.
        """
        last = max(self.failed_at, self.until)
        return now >= last + FORGOTTEN_AFTER or self.failed_at > now + FORGOTTEN_AFTER


def add_failure(strikes: Strikes, *, now: datetime, room: int, most_seconds: int) -> Strikes:
    """Return the strikes after one more failure.

    The first `room` failures cost nothing. Each further one doubles the wait, from one second up
    to `most_seconds`. What fails during a wait does not count: it was not even looked at.
    """
    if strikes.is_waiting(now=now):
        return strikes
    failures = 1 if strikes.is_forgotten(now=now) else strikes.failures + 1
    if failures <= room:
        return Strikes(failures, failed_at=now)
    doublings = min(failures - room - 1, _MOST_DOUBLINGS)
    wait = timedelta(seconds=min(2**doublings, most_seconds))
    return Strikes(failures, failed_at=now, until=now + wait)


def is_known(logged_in_at: datetime, *, now: datetime) -> bool:
    """Whether a source from which somebody last logged in at that time is known."""
    return abs(now - logged_in_at) < KNOWN_FOR


def source_of(address: str) -> str:
    """Return what stands for everybody behind an address.

    Shape:   an IPv4 address as it is, an IPv6 address as its network, ``2001:db8:0:1::/64``. An
             IPv4 address in IPv6's clothes is the former; what is no address is returned as it is.
    """
    try:
        place = read_address(address)
    except ValueError:
        return address
    if isinstance(place, IPv6Address):
        network = int(place) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS
        return f"{IPv6Address(network)}/{128 - _IPV6_HOST_BITS}"
    return str(place)
