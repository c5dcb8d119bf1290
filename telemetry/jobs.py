"""Turn one job's occurrences into its series, and keep its account.

The account: due = the sum of outcomes + pending, exactly, at every scrape.
Three counts kept apart: pending is the number of occurrences that fell due and
did not end, never the difference of the other two, so the check can fail.

No I/O, no clock reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.events import Streak
from tickglass.sched.occurrence import OccurrenceEvent, Outcome
from tickglass.sched.streak import prolonged, prolonged_by_span
from tickglass.telemetry import catalogue
from tickglass.telemetry.interval import IntervalTracker
from tickglass.telemetry.metric import OVERFLOW
from tickglass.telemetry.series import SeriesGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tickglass.sched.clock import Reading
    from tickglass.sched.events import (
        InstantsElsewhere,
        InstantsMissed,
        InstantsSkipped,
        JobContested,
        JobRegistered,
        Lateness,
        OccurrenceMoved,
    )
    from tickglass.telemetry.metric import Metric
    from tickglass.telemetry.series import Together

__all__ = ["JobGroup"]

_OPEN_MAX: Final = 10_000  # occurrences of one job, or of all jobs beyond the cap: more only if events were lost
_S: Final = 1e9
# What falls due while the job is in hand is told as skipped once a second: until then, and a little longer, the job is
# not overdue.
_UNTOLD_MAX_NS: Final = 2 * SECOND
_Key = tuple[str, int, str]  # job, due instant, run: `OVERFLOW` holds several jobs


class JobGroup(SeriesGroup):
    """One job on this instance."""

    def __init__(self, name: str, together: Together) -> None:
        super().__init__(together)
        self._name = name
        self._open: set[_Key] = set()
        self._running: dict[_Key, int] = {}  # since when, wall clock
        self._overdue: set[_Key] = set()
        self._due = self.counter(catalogue.JOB_DUE, name)
        self._outcomes = self.counters(catalogue.JOB_OUTCOMES, name)
        self._skips = self.counters(catalogue.JOB_SKIPS, name)
        self._trigger_failures = self.counter(catalogue.JOB_TRIGGER_FAILURES, name)
        self._orphans = self.counter(catalogue.JOB_ORPHANS, name)
        self._remembered = self.counter(catalogue.JOB_REMEMBERED, name)
        self._unclaimed = self.counter(catalogue.JOB_UNCLAIMED, name)
        self._undercounts = self.counter(catalogue.JOB_UNDERCOUNTS, name)
        self._run_seconds = self.counter(catalogue.JOB_RUN_SECONDS, name)
        self._duration = self.histogram(catalogue.JOB_DURATION, name)
        self._lateness = self.histogram(catalogue.JOB_LATENESS, name)
        self._parts = self.counters(catalogue.JOB_LATENESS_PART, name)
        self._failing = self.gauge(catalogue.JOB_FAILING, name, start=0)
        self._unsuccessful = self.gauge(catalogue.JOB_UNSUCCESSFUL, name)
        self._unsuccessful_latest = self.gauge(catalogue.JOB_UNSUCCESSFUL_LATEST, name)
        self._last_start = self.gauge(catalogue.JOB_LAST_START, name)
        self._last_success = self.gauge(catalogue.JOB_LAST_SUCCESS, name)
        self._last_completion = self.gauge(catalogue.JOB_LAST_COMPLETION, name)
        self._next = self.gauge(catalogue.JOB_NEXT, name)
        self._registered = self.gauge(catalogue.JOB_REGISTERED, name)
        self._interval = self.gauge(catalogue.JOB_INTERVAL, name)
        self._max_runtime = self.gauge(catalogue.JOB_MAX_RUNTIME, name)
        self._grace = self.gauge(catalogue.JOB_GRACE, name)
        self._contested = self.gauge(catalogue.JOB_CONTESTED, name)
        self._interval_tracker = IntervalTracker()
        self._streak = Streak()
        self._moves: dict[str, Callable[[OccurrenceMoved, _Key], None]] = {
            OccurrenceEvent.FELL_DUE.value: self._fell_due,
            OccurrenceEvent.STARTED_UNCLAIMED.value: lambda *_: self._unclaimed.add(),
            OccurrenceEvent.STARTED.value: self._started,
            OccurrenceEvent.STOP_ASKED.value: self._stop_asked,
            OccurrenceEvent.ENDED.value: self._ended,
        }

    def declared(self, event: JobRegistered) -> None:
        """Take the job's registration."""
        with self.lock:
            self.gone = False
            self._registered.value = event.wall_ns / _S
            self._grace.value = event.grace_ns / _S
            self._interval_tracker = IntervalTracker(event.next_due_ns, event.interval_ns)
            self._keep_interval()
            self._max_runtime.value = _seconds(event.timeout_ns)
            self._contested.value = None
            if event.job == self._name:
                self._take_over(event.streak)

    def moved(self, event: OccurrenceMoved) -> None:
        """Take one move of an occurrence."""
        move = self._moves.get(event.event)
        if move is not None:
            with self.lock:
                move(event, (event.job, event.due_ns, event.run_id))

    def passed(self, event: InstantsMissed | InstantsElsewhere, outcome: Outcome) -> None:
        """Count instants that passed while no instance was running: due and ended at once."""
        with self.lock:
            self._due.add(event.count)
            self._outcomes[outcome.value].add(event.count)
            if not event.exact:
                self._undercounts.add()

    def skipped(self, event: InstantsSkipped) -> None:
        """Count instants that passed while the job was in hand: due and ended at once."""
        with self.lock:
            self._due.add(event.count)
            self._outcomes[Outcome.SKIPPED.value].add(event.count)
            self._skips[event.reason].add(event.count)
            if not event.exact:
                self._undercounts.add()
            self._fell_due_next(event.job, event.latest_due_ns, event.next_due_ns)
            self._take_over(prolonged_by_span(self._streak, event))

    def restored(self, moves: Iterable[OccurrenceMoved]) -> None:
        """Take over the open occurrences of a scheduler whose events were missing for a while.

        Occurrences that fell due meanwhile count as due. Those that ended meanwhile have an
        unknown outcome, which counts as `OVERFLOW`.

        Args:
            moves: of the job's occurrences that have not ended, in order.
        """
        with self.lock:
            known, self._open = self._open, set()
            self._running.clear()
            self._overdue.clear()
            for event in moves:
                key = event.job, event.due_ns, event.run_id
                if event.event == OccurrenceEvent.FELL_DUE:
                    self._open.add(key)
                elif event.event == OccurrenceEvent.STARTED:
                    self._started(event, key)
                elif event.event == OccurrenceEvent.STOP_ASKED:
                    self._stop_asked(event, key)
            self._due.add(len(self._open - known))
            unheard = len(known - self._open)
            if unheard:
                self._outcomes[OVERFLOW].add(unheard)

    def trigger_failed(self) -> None:
        """Count a trigger that raised."""
        with self.lock:
            self._trigger_failures.add()

    def contested(self, event: JobContested) -> None:
        """Take that another program claims the job's instants, or no longer does."""
        with self.lock:
            self._contested.value = _seconds(event.since_wall_ns)

    def claim_cache_hit(self) -> None:
        """Count a round trip saved."""
        with self.lock:
            self._remembered.add()

    def orphan_found(self) -> None:
        """Count a claim whose claimant died."""
        with self.lock:
            self._orphans.add()

    def live(self, now: Reading) -> Iterable[tuple[Metric, tuple[str, ...], float]]:
        """Return the numbers of open and of running occurrences, and the ages that rules read."""
        values = (self._name,)
        next_due_ns = self._interval_tracker.next_due_ns
        if next_due_ns is not None and self._name != OVERFLOW:  # several jobs have no one next instant
            late_ns = max(0, now.wall_ns - next_due_ns)
            yield catalogue.JOB_OVERDUE, values, 0 if self._open and late_ns < _UNTOLD_MAX_NS else late_ns / _S
        yield catalogue.JOB_PENDING, values, len(self._open)
        yield catalogue.JOB_RUNNING, values, len(self._running)
        yield catalogue.JOB_OVERDUE_RUNS, values, len(self._overdue)
        if self._running:
            since_ns = min(self._running.values())
            yield catalogue.JOB_RUNNING_FOR, values, max(0, now.wall_ns - since_ns) / _S
        if self._streak.since_ns is not None:
            yield catalogue.JOB_UNSUCCESSFUL_FOR, values, max(0, now.wall_ns - self._streak.since_ns) / _S

    def _take_over(self, streak: Streak) -> None:
        """Take over the job's streak from the ledger: failures of an earlier process still count."""
        self._streak = streak
        self._failing.value = streak.failures
        self._unsuccessful.value = _seconds(streak.since_ns)
        self._unsuccessful_latest.value = _seconds(streak.latest_ns)
        if streak.succeeded_wall_ns is not None:
            self._last_success.value = streak.succeeded_wall_ns / _S

    def _fell_due(self, event: OccurrenceMoved, key: _Key) -> None:
        self._due.add()
        if len(self._open) < _OPEN_MAX:
            self._open.add(key)
        else:
            self._outcomes[OVERFLOW].add()  # its outcome will never be known
        self._fell_due_next(event.job, event.due_ns, event.next_due_ns)

    def _fell_due_next(self, job: str, due_ns: int, next_due_ns: int | None) -> None:
        if job == self._name:
            self._interval_tracker.fell_due(due_ns, next_due_ns)
            self._keep_interval()

    def _keep_interval(self) -> None:
        self._next.value = _seconds(self._interval_tracker.next_due_ns)
        self._interval.value = _seconds(self._interval_tracker.interval_ns)

    def _started(self, event: OccurrenceMoved, key: _Key) -> None:
        if len(self._running) < _OPEN_MAX:
            self._running[key] = event.wall_ns
        self._last_start.value = event.wall_ns / _S

    def _stop_asked(self, event: OccurrenceMoved, key: _Key) -> None:
        if event.reason == "timeout" and key in self._running:
            self._overdue.add(key)

    def _ended(self, event: OccurrenceMoved, key: _Key) -> None:
        outcome = event.outcome or ""
        self._outcomes[outcome].add()
        self._open.discard(key)
        if outcome == Outcome.SKIPPED:
            self._skips[event.reason].add()
        self._take_over(prolonged(self._streak, outcome, event.due_ns, event.wall_ns))
        if self._running.pop(key, None) is not None:
            self._last_completion.value = event.wall_ns / _S
            self._overdue.discard(key)
        trace_id = event.run_id if event.sampled else ""
        if event.ran_ns is not None:
            self._run_seconds.add(event.ran_ns / _S)
            self._duration.observe(event.ran_ns / _S, trace_id, event.wall_ns)
        if event.lateness is not None:
            self._was_late(event.lateness, trace_id, event.wall_ns)

    def _was_late(self, lateness: Lateness, trace_id: str, wall_ns: int) -> None:
        self._lateness.observe(lateness.total_ns / _S, trace_id, wall_ns)
        self._parts["timer"].add(max(0, lateness.timer_ns) / _S)
        self._parts["pool"].add(max(0, lateness.pool_ns) / _S)
        self._parts["lock"].add(max(0, lateness.lock_ns) / _S)
        self._parts["start"].add(max(0, lateness.start_ns) / _S)


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / _S
