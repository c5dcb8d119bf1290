"""Keep the outcomes that an unreachable store could not take, and write them when it answers, oldest first.

An unclaimed run has to be claimed first. If its earlier claim was granted and only
the answer was lost, its outcome is simply written.

An unclaimed run waits while its resource is held, and so do later ones on that
resource. Outcomes of claimed runs are written past it: each keeps its lease until
it is written, and one of them may hold that very resource.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.events import SpoolMove, SpoolMoved
from tickglass.sched.ports import Ahead, AlreadyClaimed, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.ports import ClaimAsk, Holder, Settlement, SpooledOutcome

__all__ = ["Outbox"]

_log: Final = logging.getLogger(__name__)
_PAGE_SIZE: Final = 100  # outcomes read from the spool at a time


class Outbox:
    """The only way into the spool and out of it; each move is reported."""

    def __init__(self, context: EngineContext) -> None:
        self._spool = context.spool
        self._store = context.store
        self._clock = context.clock
        self._sink = context.sink
        self._owner = context.owner
        self._writing = threading.Lock()  # one outcome at a time: none is written twice
        self._mutex = threading.Lock()
        self._runs: set[str] | None = None  # that have an outcome in the spool; read at the first use

    def put(self, outcome: SpooledOutcome) -> bool:
        """Put an outcome into the spool; False if the spool cannot hold it: it is dropped, counted and logged."""
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
        self._report(SpoolMove.SPOOLED if kept else SpoolMove.DROPPED, outcome.settlement)
        return kept

    def flush(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Try once to write each outcome in the spool, oldest first.

        Args:
            stopping: asked before each outcome; True ends the call early.

        Raises:
            StoreUnavailable: the store does not answer any more; the rest stays, in order.
        """
        held: set[str] = set()
        for number, outcome in self._spooled():
            if stopping():
                return
            with self._writing:
                if self._is_spooled(number):
                    self._write(number, outcome, held)

    def reclaim(self, run_id: str) -> bool:
        """Write the outcome of this run now, because its lease is in the way; return whether it is written.

        If the store or the spool does not answer, the outcome stays until a later `flush`.
        """
        try:
            with self._writing:
                return any(self._write(number, outcome, set()) for number, outcome in self._of_run(run_id))
        except StoreUnavailable as error:
            _log.warning("the outcome of run %s stays in the spool: %s", run_id, error)
            return False

    def run_ids(self) -> set[str]:
        """Return the runs that have an outcome in the spool; none while it cannot be read."""
        try:
            return {outcome.settlement.run_id for _, outcome in self._spooled() if outcome is not None}
        except StoreUnavailable as error:
            _log.warning("%s", error)
            return set()

    def _spooled(self) -> Iterator[tuple[int, SpooledOutcome | None]]:
        last = 0
        while page := self._spool.oldest(_PAGE_SIZE, after=last):
            yield from page
            last = page[-1][0]

    def _of_run(self, run_id: str) -> list[tuple[int, SpooledOutcome]]:
        """Return the outcome of a run, with its number; the spool is read only if it has one."""
        with self._mutex:
            if self._runs is None:
                self._runs = {outcome.settlement.run_id for _, outcome in self._spooled() if outcome is not None}
            if run_id not in self._runs:
                return []
        return [
            (number, outcome)
            for number, outcome in self._spooled()
            if outcome is not None and outcome.settlement.run_id == run_id
        ]

    def _is_spooled(self, number: int) -> bool:
        """Return whether this outcome is still in the spool: another thread may have written it meanwhile."""
        return any(oldest == number for oldest, _ in self._spool.oldest(1, after=number - 1))

    def _write(self, number: int, outcome: SpooledOutcome | None, held: set[str]) -> bool:
        """Write one outcome, report what became of it, and return whether it has left the spool."""
        move = SpoolMove.DROPPED if outcome is None else self._deliver(outcome, held)
        if move is None:
            return False
        if outcome is None:
            _log.error("outcome %d of the spool cannot be read: it is lost", number)
        self._drop(number, move, None if outcome is None else outcome.settlement)
        return True

    def _deliver(self, outcome: SpooledOutcome, held: set[str]) -> SpoolMove | None:
        """Have the store take one outcome; None: it must be tried again.

        Args:
            held: resources that were found to be held; added to.
        """
        settlement = outcome.settlement
        if outcome.unclaimed is not None:
            if settlement.lease.resource in held:
                return None
            settled = self._store.settle(settlement)
            if settled.recorded or settled.earlier:  # the answer to its claim, or to an earlier try, was lost
                return SpoolMove.WRITTEN
            claimed = self._claim_afterwards(outcome.unclaimed, settlement, held)
            if claimed is None:
                return None
            settlement = claimed
        settled = self._store.settle(settlement)
        return SpoolMove.WRITTEN if settled.recorded or settled.earlier else SpoolMove.OVERTAKEN

    def _claim_afterwards(self, ask: ClaimAsk, settlement: Settlement, held: set[str]) -> Settlement | None:
        """Claim an occurrence that ran without a claim, so that the ledger has it; None: its resource is held.

        Another instance may have claimed it and run it too; then the settlement is not recorded.
        """
        answer = self._store.claim(ask)
        if isinstance(answer, Refused) and self._settle_claim_of(answer.holder):
            answer = self._store.claim(ask)
        if isinstance(answer, AlreadyClaimed):
            return settlement
        if isinstance(answer, Ahead):
            return None  # it ran by a clock that was ahead; its instant is still to come
        if isinstance(answer, Refused):
            held.add(ask.lease.resource)
            return None
        return replace(settlement, lease=ask.lease.untrusted(answer.fence))

    def _settle_claim_of(self, holder: Holder) -> bool:
        """Settle the claim that is in the way if its outcome is in the spool too; return whether it was."""
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
        self._report(move, settlement)

    def _report(self, move: SpoolMove, settlement: Settlement | None) -> None:
        job, run_id = ("", "") if settlement is None else (settlement.job, settlement.run_id)
        try:
            depth = self._spool.depth()
        except StoreUnavailable as error:
            _log.warning("%s", error)
            depth = 0
        self._sink.record(SpoolMoved(move=move, job=job, run_id=run_id, depth=depth, wall_ns=self._clock.wall_ns()))
