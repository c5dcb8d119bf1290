"""Write an outcome and release the lease, in one round trip, tried again if the store does not answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tickglass.sched.engine.leasing.persist import persist
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import LockEvent, LockState
from tickglass.sched.policies import backoff
from tickglass.sched.ports import Settled, SpooledOutcome

if TYPE_CHECKING:
    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.running.outbox import Outbox
    from tickglass.sched.lease import LockMachine
    from tickglass.sched.ports import Settlement

__all__ = ["settle"]

_log: Final = logging.getLogger(__name__)


def settle(settlement: Settlement, lock: LockMachine, context: EngineContext, outbox: Outbox) -> bool:
    """Settle; the lock reports how it went.

    Without an answer the outcome goes into the spool, and the lease runs out by
    itself, unless this instance reclaims it before (leasing/in_doubt.py). If another
    instance finds the open claim before the outcome is written, it runs the
    occurrence again.

    Returns:
        False if the store did not answer, and the spool could not hold the outcome.
    """
    answer = _answer(settlement, context)
    kept = answer is not None or outbox.put(SpooledOutcome(settlement))
    if lock.state is LockState.HELD and (answer is None or not answer.released):
        lock.fire(LockEvent.EXPIRED if answer is None else LockEvent.LOST)
    lock.fire(LockEvent.RELEASED)
    return kept


def _answer(settlement: Settlement, context: EngineContext) -> Settled | None:
    try:
        answer, _ = persist(lambda: context.store.settle(settlement), backoff.STORE, context.clock)
    except StoreUnavailable as error:
        _log.error("%s of %s could not be written: %s", settlement.outcome, settlement.job, error)
        return None
    # An earlier request did it, and its answer was lost.
    return Settled(recorded=True, released=True) if answer.earlier else answer
