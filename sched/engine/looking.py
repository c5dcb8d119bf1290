"""See who has a lease, without taking it, and how jobs have done lately.

A look at a lease is a renewal with a token that nobody has: the answer names the holder and
changes nothing, in one round trip on every store, however many leases there are.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import Streak
from tickglass.sched.lease import Lease
from tickglass.sched.ports import Gone
from tickglass.sched.streak import RUNS_READ, streak_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.engine.gear import Gear
    from tickglass.sched.ports import JobRecord

__all__ = ["holder_of", "streaks_of"]

_log: Final = logging.getLogger(__name__)
_NOBODYS: Final = "looking on"  # a token that no lease has


def holder_of(resource: str, gear: Gear) -> str:
    """Return the owner of the live lease on a resource, "" if there is none.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    answer = gear.store.renew(Lease(resource, gear.owner, _NOBODYS, 0, SECOND, 0))
    return answer.owner if isinstance(answer, Gone) else ""


def streaks_of(jobs: Iterable[JobRecord], gear: Gear) -> dict[str, Streak]:
    """Return how each of these jobs has done lately, by name: one question for each that was ever claimed.

    A store that does not answer is not asked on, and those jobs begin without a past: they shall begin.
    """
    found: dict[str, Streak] = {}
    try:
        for job in jobs:
            claimed = job.last_due_ns is not None
            found[job.name] = streak_of(gear.store.runs(job.name, RUNS_READ)) if claimed else Streak()
    except StoreUnavailable as error:
        _log.warning("how the jobs have done lately is not known: %s", error)
    return found
