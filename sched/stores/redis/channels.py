"""Name the channels on which a store publishes its hints, so that an instance does not hear what it does itself.

Pure. Redis cannot leave out the sender of a message, and all of its databases share the channels. So

- each resource has a channel, to which an instance is subscribed only while it waits for that resource;
- the claims of a service are spread over `SEATS` channels. An owner publishes on the channel of its own seat, and is
  subscribed to all others. Two owners with the same seat do not hear each other: then they ask the store, which
  gives the same answer;
- the names contain the number of the database.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["SEATS", "Channels", "claims_seat"]

SEATS: Final = 64  # two owners share one with a chance of 1.6 %; each subscription costs the server some 100 bytes


class Channels(NamedTuple):
    """The channels of one store.

    Args:
        base: the prefix of all keys, in braces.
        db: the number of the database.
    """

    base: str
    db: int

    def freed(self, resource: str) -> str:
        """Return the channel on which it is published that a resource was freed; its messages are empty."""
        return f"{self.base}:freed:{self.db}:{resource}"

    def claims(self, service: str, seat: int) -> str:
        """Return the channel on which the owners with this seat publish their claims."""
        return f"{self.base}:claimed:{self.db}:{service}:{seat}"

    def claims_of_others(self, service: str, owner: str) -> list[str]:
        """Return the channels on which an owner hears of the claims of other owners."""
        own = claims_seat(owner)
        return [self.claims(service, seat) for seat in range(SEATS) if seat != own]


@lru_cache(maxsize=16)
def claims_seat(owner: str) -> int:
    """Return the seat of an owner; all instances compute the same one."""
    return zlib.crc32(owner.encode()) % SEATS
