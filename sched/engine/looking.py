"""See who has a lease, without taking it.

A look is a renewal with a token that nobody has: the answer names the holder and
changes nothing, in one round trip on every store, however many leases there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.lease import Lease
from tickglass.sched.ports import Gone

if TYPE_CHECKING:
    from tickglass.sched.engine.gear import Gear

__all__ = ["holder_of"]

_NOBODYS: Final = "looking on"  # a token that no lease has


def holder_of(resource: str, gear: Gear) -> str:
    """Return the owner of the live lease on a resource, "" if there is none.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    answer = gear.store.renew(Lease(resource, gear.owner, _NOBODYS, 0, SECOND, 0))
    return answer.owner if isinstance(answer, Gone) else ""
