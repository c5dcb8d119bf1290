"""Keep what a store that cannot be reached must still hear, and tell it when it answers, oldest first.

What ran without a claim has to be claimed first, unless the store has granted its
claim unheard: then its outcome is simply written. While somebody holds its
resource it waits, with all behind it that waits for the same; outcomes of claims
go past it: each keeps its lease until it is written, and may be that somebody.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tickglass.sched.ahead import Ahead
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import SpoolMove, SpoolMoved
from tickglass.sched.ports import AlreadyClaimed, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.ports import ClaimAsk, Holder, Settlement, SpooledOutcome

__all__ = ["Outbox"]

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 100  # outcomes read from the spool at a time


class Outbox:
    """The spool's one door: everything in and out of it is reported."""

    def __init__(self, context: EngineContext) -> None:
        self._spool = context.spool
        self._store = context.store
        self._clock = context.clock
        self._sink = context.sink
        self._owner = context.owner
        self._writing = threading.Lock()  # one outcome at a time: none is told twice
        self._mutex = threading.Lock()
        self._runs: set[str] | None = None  # whose outcomes wait; read when it is first asked for

    def put(self, outcome: SpooledOutcome) -> bool:
        """Put an outcome into the spool; False for one that it cannot hold: it is dropped, counted and logged."""
        try:
            with self._mutex:
                kept = self._spool.put(outcome)
                if kept and self._runs is not None:
                    self._runs.add(outcome.settlement.run_id)
        except StoreUnavailable as error:
            _log.error("%s", error)
            kept = False
        if not kept:
            settlement = outcome.settlement
            _log.error("%s of %s, due %d, is lost", settlement.outcome, settlement.job, settlement.due_ns)
        self._tell(SpoolMove.SPOOLED if kept else SpoolMove.DROPPED, outcome.settlement)
        return kept

    def flush(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Tell the store what waits, once and oldest first, unless it is time to stop.

        Raises:
            StoreUnavailable: it stopped answering; the rest stays, in order.
        """
        held: set[str] = set()
        for number, outcome in self._waiting():
            if stopping():
                return
            with self._writing:
                if self._waits(number):
                    self._write(number, outcome, held)

    def reclaim(self, run_id: str) -> bool:
        """Write the outcome of this run now, because its lease is in somebody's way; return whether it is written.

        Without an answer, of the store or of the spool, it waits for its turn.
        """
        try:
            with self._writing:
                return any(self._write(number, outcome, set()) for number, outcome in self._of_run(run_id))
        except StoreUnavailable as error:
            _log.warning("the outcome of run %s waits on: %s", run_id, error)
            return False

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

    def _of_run(self, run_id: str) -> list[tuple[int, SpooledOutcome]]:
        """Return the outcome of a run, with its number; it is looked for only if it is there."""
        with self._mutex:
            if self._runs is None:
                self._runs = {outcome.settlement.run_id for _, outcome in self._waiting() if outcome is not None}
            if run_id not in self._runs:
                return []
        return [
            (number, outcome)
            for number, outcome in self._waiting()
            if outcome is not None and outcome.settlement.run_id == run_id
        ]

    def _waits(self, number: int) -> bool:
        """Return whether this outcome is still in the spool: another thread may have written it meanwhile."""
        return any(it == number for it, _ in self._spool.oldest(1, after=number - 1))

    def _write(self, number: int, outcome: SpooledOutcome | None, held: set[str]) -> bool:
        """Write one outcome, report what became of it, and return whether it is out of the spool."""
        move = SpoolMove.DROPPED if outcome is None else self._written(outcome, held)
        if move is None:
            return False
        if outcome is None:
            _log.error("outcome %d of the spool cannot be read: it is lost", number)
        self._drop(number, move, None if outcome is None else outcome.settlement)
        return True

    def _written(self, outcome: SpooledOutcome, held: set[str]) -> SpoolMove | None:
        """Write one outcome; None: it must be tried again.

        Args:
            held: resources that somebody was found to hold; added to.
        """
        settlement = outcome.settlement
        if outcome.unclaimed is not None:
            if settlement.lease.resource in held:
                return None
            settled = self._store.settle(settlement)
            if settled.recorded or settled.earlier:  # its claim, or an earlier replay, was granted unheard
                return SpoolMove.WRITTEN
            claimed = self._claim_afterwards(outcome.unclaimed, settlement, held)
            if claimed is None:
                return None
            settlement = claimed
        settled = self._store.settle(settlement)
        return SpoolMove.WRITTEN if settled.recorded or settled.earlier else SpoolMove.OVERTAKEN

    def _claim_afterwards(self, ask: ClaimAsk, settlement: Settlement, held: set[str]) -> Settlement | None:
        """Claim what ran without a claim, so that the ledger has it; None: its resource is held.

        It may be claimed already by another instance that ran it too; then the settlement is not recorded.
        """
        answer = self._store.claim(ask)
        if isinstance(answer, Refused) and self._settle_claim_of(answer.holder):
            answer = self._store.claim(ask)
        if isinstance(answer, AlreadyClaimed):
            return settlement
        if isinstance(answer, Ahead):
            return None  # it ran by a clock that was ahead, and its instant will come
        if isinstance(answer, Refused):
            held.add(ask.lease.resource)
            return None
        return replace(settlement, lease=ask.lease.untrusted(answer.fence))

    def _settle_claim_of(self, holder: Holder) -> bool:
        """Settle a claim that is in the way if its outcome waits here as well; return whether it did."""
        for number, outcome in self._of_run(holder.run_id) if holder.owner == self._owner else ():
            if self._store.settle(outcome.settlement).recorded:
                self._drop(number, SpoolMove.WRITTEN, outcome.settlement)
                return True
        return False

    def _drop(self, number: int, move: SpoolMove, settlement: Settlement | None) -> None:
        self._spool.drop(number)
        if settlement is not None:
            with self._mutex:
                if self._runs is not None:
                    self._runs.discard(settlement.run_id)
        self._tell(move, settlement)

    def _tell(self, move: SpoolMove, settlement: Settlement | None) -> None:
        job, run_id = ("", "") if settlement is None else (settlement.job, settlement.run_id)
        try:
            depth = self._spool.depth()
        except StoreUnavailable as error:
            _log.warning("%s", error)
            depth = 0
        self._sink.record(SpoolMoved(move=move, job=job, run_id=run_id, depth=depth, wall_ns=self._clock.wall_ns()))
