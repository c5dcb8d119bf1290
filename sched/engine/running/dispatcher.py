"""Those who work on occurrences: pool, event loop, alarms, keeper, and what is in hand."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import Wake
from tickglass.sched.engine.timing.timers import Alarms
from tickglass.sched.engine.leasing.in_doubt import Doubts
from tickglass.sched.executors.event_loop import EventLoop
from tickglass.sched.engine.planning.misfires import Hindsight
from tickglass.sched.engine.leasing.renewer import Keeper
from tickglass.sched.engine.running.lead_time import Lead
from tickglass.sched.engine.running.loop_lag import LoopPulse
from tickglass.sched.engine.running.outbox import Outages
from tickglass.sched.executors.threads import Pool
from tickglass.sched.engine.membership.presence import Presence
from tickglass.sched.engine.running.execution import Walk
from tickglass.sched.occurrence import OccurrenceEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.engine.context import Gear
    from tickglass.sched.job import Job
    from tickglass.sched.occurrence import OccurrenceMachine

__all__ = ["Crew"]

_log: Final = logging.getLogger(__name__)


class Crew:
    """Takes admitted occurrences and walks each to its end; at most one per job at a time.

    Args:
        workers: size of the pool; None: CPU count x 1.5.
        labels: those of this instance, as preferences name them.
        max_ahead_ns: how far ahead of the store's clock a claim may be; None: any distance.
    """

    def __init__(
        self,
        gear: Gear,
        *,
        workers: int | None,
        labels: frozenset[str] = frozenset(),
        max_ahead_ns: int | None = None,
    ) -> None:
        self._gear = gear
        self.max_ahead_ns = max_ahead_ns
        self.pool = Pool("default", workers, clock=gear.clock, sink=gear.sink)
        self.loop = EventLoop()
        self.alarms = Alarms(gear.clock)
        self.pulse = LoopPulse(self.loop, self.alarms, clock=gear.clock, sink=gear.sink)
        self.keeper = Keeper(gear.store, clock=gear.clock, alarms=self.alarms)
        self.presence = Presence(gear, self.keeper, labels)
        self.lead = Lead()
        self.outages = Outages(gear)
        self.doubts = Doubts(gear, self.outages)
        self.hindsight = Hindsight(gear)
        self._in_hand: dict[str, Walk] = {}
        self._door = threading.Lock()
        self._emptied = Wake()
        self._hurries = 0

    def start(self) -> None:
        """Start all threads."""
        self.alarms.start()
        self.loop.start()
        self.hindsight.start()
        self.pool.start()

    def busy(self, job_name: str) -> bool:
        """Return whether an occurrence of that job is in hand, here."""
        return job_name in self._in_hand

    def walk(
        self,
        job: Job,
        occurrence: OccurrenceMachine,
        *,
        due_ns: int,
        until_ns: int,
        next_due_ns: int | None,
        rerun: bool = False,
    ) -> None:
        """Take an occurrence of a job that is not busy; see `Walk` for the arguments."""
        walk = Walk(
            job,
            occurrence,
            due_ns=due_ns,
            until_ns=until_ns,
            next_due_ns=next_due_ns,
            rerun=rerun,
            gear=self._gear,
            crew=self,
            ended=self._ended,
        )
        with self._door:
            self._in_hand[job.name] = walk
        occurrence.fire(OccurrenceEvent.ADMITTED)
        self.hand(walk, walk.begin)

    def hand(self, walk: Walk, step: Callable[[], None]) -> None:
        """Have a worker take a step of a walk; one that breaks off does not keep its job busy for ever."""
        self.pool.hand(lambda: self._guarded(walk, step))

    def aside(self, walk: Walk, step: Callable[[], None]) -> None:
        """Have a step of a walk taken now, though all workers may be busy; it asks the store, and runs no job."""
        self.keeper.hand(lambda: self._guarded(walk, step))

    def in_hand(self) -> list[Walk]:
        """Return the walks that have not ended."""
        with self._door:
            return list(self._in_hand.values())

    def drain(self, until_ns: int) -> bool:
        """Claim nothing more, and wait for what is claimed; return whether all of it ended in time."""
        self._each(Walk.stop_claiming)
        while self._in_hand and not self._hurried():
            if not self._gear.clock.wait(until_ns, self._emptied):
                break
        return not self._in_hand

    def ask_all_to_stop(self, reason: str) -> None:
        """Ask every run in hand to stop."""
        self._each(lambda walk: walk.ask_to_stop(reason))

    def hurry(self) -> None:
        """Make one `drain` return now: the present one, or the next."""
        with self._door:
            self._hurries += 1
        self._emptied.ring()

    def stop(self, until_ns: int) -> None:
        """End all threads; a worker whose job does not return is left behind at `until_ns`."""
        self.pool.close(until_ns)
        self.hindsight.stop()
        self.presence.stop()
        self.keeper.stop()
        self.alarms.stop()
        self.loop.stop()

    @staticmethod
    def _guarded(walk: Walk, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException:  # noqa: BLE001 - reported; the job goes on
            _log.exception("the walk of %s broke off", walk.job.name)
            walk.break_off()

    def _hurried(self) -> bool:
        with self._door:
            hurried = self._hurries > 0
            self._hurries -= hurried
        return hurried

    def _each(self, do: Callable[[Walk], None]) -> None:
        for walk in self.in_hand():
            do(walk)

    def _ended(self, walk: Walk) -> None:
        if walk.prepared_ns is not None:
            self.lead.note(walk.prepared_ns)
        with self._door:
            if self._in_hand.get(walk.job.name) is walk:  # one that broke off may say it a second time
                del self._in_hand[walk.job.name]
            empty = not self._in_hand
        if empty:
            self._emptied.ring()
