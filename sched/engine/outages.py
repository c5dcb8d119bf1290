"""Keep what a store that cannot be reached must still hear, and tell it when it answers, oldest first.

What ran without a claim has to be claimed first. While somebody holds its
resource it waits, with all behind it that waits for the same; outcomes of claims
go past it: each keeps its lease until it is written, and may be that somebody.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tickglass.sched.ahead import Ahead
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import SpoolMove, SpoolMoved
from tickglass.sched.ports import AlreadyClaimed, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        """Tell the store what waits, once and oldest first, unless it is time to stop.

        Raises:
            StoreUnavailable: it stopped answering; the rest stays, in order.
        """
        held: set[str] = set()
        for number, outcome in self._waiting():
            if stopping():
                return
            move = SpoolMove.DROPPED if outcome is None else self._written(outcome, held)
            if move is None:
                continue
            self._spool.drop(number)
            if outcome is None:
                _log.error("outcome %d of the spool cannot be read: it is lost", number)
            self._tell(move, None if outcome is None else outcome.settlement)

    def run_ids(self) -> set[str]:
        """Return the runs whose outcomes wait; none while the spool cannot be read."""
        try:
            return {outcome.settlement.run_id for _, outcome in self._waiting() if outcome is not None}
        except StoreUnavailable as error:
            _log.warning("%s", error)
            return set()

    def _waiting(self) -> Iterator[tuple[int, SpooledOutcome | None]]:
        last = 0
        while some := self._spool.oldest(_AT_ONCE, after=last):
            yield from some
            last = some[-1][0]

    def _written(self, outcome: SpooledOutcome, held: set[str]) -> SpoolMove | None:
        """Write one outcome; None: it must be tried again.

        Args:
            held: resources that somebody was found to hold; added to.
        """
        settlement = outcome.settlement
        if outcome.unclaimed is not None:
            claimed = self._claim_afterwards(outcome.unclaimed, settlement, held)
            if claimed is None:
                return None
            settlement = claimed
        settled = self._store.settle(settlement)
        return SpoolMove.WRITTEN if settled.recorded or settled.earlier else SpoolMove.OVERTAKEN

    def _claim_afterwards(self, ask: ClaimAsk, settlement: Settlement, held: set[str]) -> Settlement | None:
        """Claim what ran without a claim, so that the ledger has it; None: its resource is held.

        It may be claimed already: by somebody else who ran it too, or by an earlier replay of ours whose answers were
        lost. The settlement tells them apart.
        """
        if ask.lease.resource in held:
            return None
        answer = self._store.claim(ask)
        if isinstance(answer, AlreadyClaimed):
            return settlement
        if isinstance(answer, Ahead):
            return None  # it ran by a clock that was ahead, and its instant will come
        if isinstance(answer, Refused):
            held.add(ask.lease.resource)
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
