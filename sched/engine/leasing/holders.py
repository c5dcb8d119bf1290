"""See who has a lease, without acquisition it, how jobs have done lately, and which of their claims may be believed.

A look at a lease is a renewal with a token that nobody has: the answer names the holder and
changes nothing, in one round trip on every store, however many leases there are.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import Streak
from tickglass.sched.lease import Lease
from tickglass.sched.ports import Gone
from tickglass.sched.streak import RUNS_READ, streak_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.ports import JobRecord, StoreObserver
    from tickglass.sched.registration import Registered

__all__ = ["believed", "holder_of", "streaks_of"]

_log: Final = logging.getLogger(__name__)
_NOBODYS: Final = "looking on"  # a token that no lease has


def holder_of(resource: str, context: EngineContext) -> str:
    """Return the owner of the live lease on a resource, "" if there is none.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    answer = context.store.renew(Lease(resource, context.owner, _NOBODYS, 0, SECOND, 0))
    return answer.owner if isinstance(answer, Gone) else ""


def believed(registered: Registered, until_ns: int, store: StoreObserver) -> Registered:
    """Return what a registration did, without claims that a clock which was ahead has made.

    The ledger keeps them, so those instants are taken when they come; but they settle nothing that lies before them,
    or nobody would run the job until then.

    Args:
        until_ns: the wall clock, and how far ahead of it an instant may be claimed.
    """
    job = registered.job
    if job.last_due_ns is None or job.last_due_ns <= until_ns:
        return registered
    try:
        runs = store.runs(job.name, 1, before_ns=until_ns + 1)
    except StoreUnavailable as error:
        _log.warning("which claim of %s was the latest is not known: %s", job.name, error)
        runs = ()
    return replace(registered, job=replace(job, last_due_ns=runs[0].due_ns if runs else None))


def streaks_of(jobs: Iterable[JobRecord], context: EngineContext) -> dict[str, Streak]:
    """Return how each of these jobs has done lately, by name: one question for each that was ever claimed.

    A store that does not answer is not asked on, and those jobs begin without a past: they shall begin.
    """
    found: dict[str, Streak] = {}
    try:
        for job in jobs:
            claimed = job.last_due_ns is not None
            found[job.name] = streak_of(context.store.runs(job.name, RUNS_READ)) if claimed else Streak()
    except StoreUnavailable as error:
        _log.warning("how the jobs have done lately is not known: %s", error)
    return found
