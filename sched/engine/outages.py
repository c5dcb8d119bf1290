"""Keep what a store that cannot be reached must still hear, and tell it in order when it answers."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import SpoolMove, SpoolMoved
from tickglass.sched.ports import AlreadyClaimed, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.gear import Gear
    from tickglass.sched.ports import ClaimAsk, Settlement, SpooledOutcome

__all__ = ["Outages"]

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 100  # outcomes read from the spool at a time


class Outages:
    """The spool's one door: everything in and out of it is reported."""

    def __init__(self, gear: Gear) -> None:
        self._spool = gear.spool
        self._store = gear.store
        self._clock = gear.clock
        self._sink = gear.sink

    def keep(self, outcome: SpooledOutcome) -> None:
        """Put an outcome into the spool; one that it cannot hold is dropped, counted and logged."""
        try:
            kept = self._spool.put(outcome)
        except StoreUnavailable as error:
            _log.error("%s", error)
            kept = False
        if not kept:
            settlement = outcome.settlement
            _log.error("%s of %s, due %d, is lost", settlement.outcome, settlement.job, settlement.due_ns)
        self._tell(SpoolMove.SPOOLED if kept else SpoolMove.DROPPED, outcome.settlement)

    def replay(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Tell the store what waits, oldest first, until nothing does or it is time to stop.

        Raises:
            StoreUnavailable: it stopped answering; the rest stays, in order.
        """
        while waiting := self._spool.oldest(_AT_ONCE):
            for number, outcome in waiting:
                if stopping():
                    return
                move = SpoolMove.DROPPED if outcome is None else self._written(outcome)
                if move is None:
                    return
                self._spool.drop(number)
                if outcome is None:
                    _log.error("outcome %d of the spool cannot be read: it is lost", number)
                self._tell(move, None if outcome is None else outcome.settlement)

    def _written(self, outcome: SpooledOutcome) -> SpoolMove | None:
        """Write one outcome; None: it must be tried again, and those after it wait."""
        settlement = outcome.settlement
        if outcome.unclaimed is not None:
            claimed = self._claim_afterwards(outcome.unclaimed, settlement)
            if claimed is None or isinstance(claimed, SpoolMove):
                return claimed
            settlement = claimed
        settled = self._store.settle(settlement)
        return SpoolMove.WRITTEN if settled.recorded else SpoolMove.OVERTAKEN

    def _claim_afterwards(self, ask: ClaimAsk, settlement: Settlement) -> Settlement | SpoolMove | None:
        """Claim what ran without a claim, so that the ledger has it, unless somebody else ran it too."""
        answer = self._store.claim(ask)
        if isinstance(answer, AlreadyClaimed):
            return SpoolMove.OVERTAKEN
        if isinstance(answer, Refused):
            return None
        return replace(settlement, lease=replace(settlement.lease, fence=answer.fence))

    def _tell(self, move: SpoolMove, settlement: Settlement | None) -> None:
        job, run_id = ("", "") if settlement is None else (settlement.job, settlement.run_id)
        try:
            depth = self._spool.depth()
        except StoreUnavailable as error:
            _log.warning("%s", error)
            depth = 0
        self._sink.record(SpoolMoved(move=move, job=job, run_id=run_id, depth=depth, wall_ns=self._clock.wall_ns()))
