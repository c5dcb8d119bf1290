"""Write outcomes and release leases, several in one round trip, tried again if the store does not answer."""

from __future__ import annotations

import logging
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from tickglass.sched.durations import MS
from tickglass.sched.engine.leasing.persist import persist
from tickglass.sched.errors import StoreUnavailable
from tickglass.sched.lease import LockEvent, LockState
from tickglass.sched.policies import backoff
from tickglass.sched.ports import BATCH_MAX, Settled, SpooledOutcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.context import EngineContext
    from tickglass.sched.engine.leasing.in_doubt import InDoubt
    from tickglass.sched.engine.running.outbox import Outbox
    from tickglass.sched.engine.timing.timers import Timers
    from tickglass.sched.lease import LockMachine
    from tickglass.sched.ports import Settlement

__all__ = ["GROUPED_NS", "SettlementGroup"]

_log: Final = logging.getLogger(__name__)
GROUPED_NS: Final = 2 * MS  # no outcome waits longer for others to be written with it


class _Waiting(NamedTuple):
    """An outcome to be written.

    Args:
        since_ns: monotonic, when it was added.
        guarded: takes a step; an error of the engine in it aborts this run alone.
        settled: called when it is written, spooled or given up.
    """

    since_ns: int
    settlement: Settlement
    lock: LockMachine
    guarded: Callable[[Callable[[], None]], None]
    settled: Callable[[], None]


class SettlementGroup:
    """The outcomes of the runs that ended here, until they are written.

    Without an answer an outcome goes into the spool, and the lease runs out by itself, unless this instance reclaims
    it before (leasing/in_doubt.py). If another instance finds the open claim before the outcome is written, it runs
    the occurrence again.

    Args:
        submit_aside: has something done on a thread that is no worker.
    """

    def __init__(
        self,
        context: EngineContext,
        *,
        outbox: Outbox,
        in_doubt: InDoubt,
        timers: Timers,
        submit_aside: Callable[[Callable[[], None]], None],
    ) -> None:
        self._store = context.store
        self._clock = context.clock
        self._outbox = outbox
        self._in_doubt = in_doubt
        self._timers = timers
        self._submit_aside = submit_aside
        self._waiting: deque[_Waiting] = deque()
        self._mutex = threading.Lock()
        self._held = False  # a timer is set

    @property
    def waiting(self) -> bool:
        """Whether outcomes wait to be written."""
        return bool(self._waiting)

    def is_due(self, now_ns: int) -> bool:
        """Return whether the oldest of them has waited for long enough."""
        try:
            return now_ns - self._waiting[0].since_ns >= GROUPED_NS
        except IndexError:
            return False

    def add(
        self,
        settlement: Settlement,
        lock: LockMachine,
        guarded: Callable[[Callable[[], None]], None],
        settled: Callable[[], None],
    ) -> None:
        """Have an outcome written with the next group; its lock reports how it went, before `settled` is called."""
        self._waiting.append(_Waiting(self._clock.monotonic_ns(), settlement, lock, guarded, settled))

    def settle(self, settlement: Settlement, lock: LockMachine) -> None:
        """Write an outcome now, alone."""
        self._conclude(settlement, lock, self._alone(settlement))

    def spool(self, outcome: SpooledOutcome) -> None:
        """Keep an outcome until the store answers; of one that cannot be kept, the claim is in doubt."""
        if not self._outbox.put(outcome):
            self._in_doubt.note(outcome.settlement)

    def hold(self) -> None:
        """See that the waiting outcomes are written within `GROUPED_NS`, whatever the workers do."""
        with self._mutex:
            if self._held:
                return
            self._held = True
        self._timers.at(self._clock.monotonic_ns() + GROUPED_NS, self._flush_held)

    def flush(self) -> None:
        """Write the waiting outcomes, oldest first."""
        while group := self._taken():
            if len(group) == 1:
                group[0].guarded(partial(self._end_alone, group[0]))
            else:
                self._write(group)

    def flush_aside(self) -> None:
        """Have the waiting outcomes written now, on a thread that is no worker, because this one has more to start."""
        self._submit_aside(self.flush)

    def _flush_held(self) -> None:
        with self._mutex:
            self._held = False
        if self._waiting:
            self.flush_aside()

    def _taken(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        try:
            while len(group) < BATCH_MAX:
                group.append(self._waiting.popleft())
        except IndexError:  # another thread flushes too
            pass
        return group

    def _write(self, group: list[_Waiting]) -> None:
        """Write these together; ask again for those without an answer, together, and spool them after the last try."""
        errors: dict[str, StoreUnavailable] = {}
        try:
            persist(partial(self._ask, group, errors), backoff.STORE, self._clock)
        except StoreUnavailable as error:
            for waiting in group:
                _unwritten(waiting.settlement, errors.get(waiting.settlement.run_id, error))
                waiting.guarded(partial(self._end, waiting, None))
        except Exception:  # noqa: BLE001 - reported; each is asked alone, and one that fails then aborts its run
            _log.exception("%d outcomes were not written together", len(group))
            for waiting in group:
                waiting.guarded(partial(self._end_alone, waiting))

    def _ask(self, group: list[_Waiting], errors: dict[str, StoreUnavailable]) -> None:
        """Ask the store for all of the group, and end those that it answers: none waits for the others' next request.

        Args:
            group: those that are answered are taken out.
            errors: the latest error of each of the others, by run; added to.

        Raises:
            StoreUnavailable: some were not answered.
        """
        asked = list(zip(group, self._store.settle_many([waiting.settlement for waiting in group]), strict=True))
        group[:] = [waiting for waiting, answer in asked if not isinstance(answer, Settled)]
        for waiting, answer in asked:
            if isinstance(answer, Settled):
                waiting.guarded(partial(self._end, waiting, _confirmed(answer)))
            else:
                errors[waiting.settlement.run_id] = answer
        if group:
            raise errors[group[0].settlement.run_id]

    def _alone(self, settlement: Settlement) -> Settled | None:
        try:
            answer, _ = persist(lambda: self._store.settle(settlement), backoff.STORE, self._clock)
        except StoreUnavailable as error:
            _unwritten(settlement, error)
            return None
        return _confirmed(answer)

    def _end_alone(self, waiting: _Waiting) -> None:
        self._end(waiting, self._alone(waiting.settlement))

    def _end(self, waiting: _Waiting, answer: Settled | None) -> None:
        self._conclude(waiting.settlement, waiting.lock, answer)
        waiting.settled()

    def _conclude(self, settlement: Settlement, lock: LockMachine, answer: Settled | None) -> None:
        """Report how it went; an outcome that the store did not take is spooled, or its claim is in doubt."""
        if answer is None:
            self.spool(SpooledOutcome(settlement))
        if lock.state is LockState.HELD and (answer is None or not answer.released):
            lock.fire(LockEvent.EXPIRED if answer is None else LockEvent.LOST)
        lock.fire(LockEvent.RELEASED)


def _unwritten(settlement: Settlement, error: StoreUnavailable) -> None:
    _log.error("%s of %s could not be written: %s", settlement.outcome, settlement.job, error)


def _confirmed(answer: Settled) -> Settled:
    """Return the answer; an earlier request may have done it, and its answer was lost."""
    return Settled(recorded=True, released=True) if answer.earlier else answer
