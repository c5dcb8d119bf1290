"""Turn one job's occurrences into its series, and keep its account.

The account: due = the sum of outcomes + pending, exactly, at every scrape.
Three counts kept apart: pending is the number of occurrences that fell due and
did not end, never the difference of the other two, so the check can fail.

No I/O, no clock reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.events import Streak
from tickglass.sched.occurrence import OccurrenceEvent, Outcome
from tickglass.sched.ports import SCHEDULED
from tickglass.sched.streak import prolonged, prolonged_by_span
from tickglass.telemetry import catalogue
from tickglass.telemetry.interval import IntervalTracker
from tickglass.telemetry.metric import OVERFLOW
from tickglass.telemetry.series import SeriesGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
    from tickglass.sched.state_machine import OccurrenceMove
    from tickglass.telemetry.metric import Metric
    from tickglass.telemetry.series import Together

    _Move = OccurrenceMove | OccurrenceMoved  # the machine that moved, or the event that tells of it

__all__ = ["JobGroup"]

_OPEN_MAX: Final = 10_000  # occurrences of one job, or of all jobs beyond the cap: more only if events were lost
_S: Final = 1e9
# What falls due while the job is in hand is told as skipped once a second: until then, and a little longer, the job is
# not overdue.
_UNTOLD_MAX_NS: Final = 2 * SECOND
_Key = tuple[str, int, str]  # job, due instant, run: `OVERFLOW` holds several jobs


class JobGroup(SeriesGroup):
    """One job on this instance."""

    __slots__ = (
        "_contested",
        "_due",
        "_duration",
        "_failing",
        "_grace",
        "_interval",
        "_interval_tracker",
        "_last_completion",
        "_last_start",
        "_last_success",
        "_lateness",
        "_max_runtime",
        "_next",
        "_open",
        "_orphans",
        "_outcomes",
        "_overdue",
        "_parts",
        "_paused",
        "_remembered",
        "_run_seconds",
        "_running",
        "_skips",
        "_streak",
        "_trigger_failures",
        "_unclaimed",
        "_undercounts",
        "_unsuccessful",
        "_unsuccessful_latest",
    )
    counts_changes = True

    def __init__(self, name: str, together: Together) -> None:
        super().__init__(name, together)
        self._open: dict[_Key, None] = {}
        self._running: dict[_Key, int] = {}  # since when, wall clock
        self._overdue: dict[_Key, None] = {}
        self.size(catalogue.JOB_PENDING, self._open)
        self.size(catalogue.JOB_RUNNING, self._running)
        self.size(catalogue.JOB_OVERDUE_RUNS, self._overdue)
        self._due = self.counter(catalogue.JOB_DUE)
        self._outcomes = self.counters(catalogue.JOB_OUTCOMES)
        self._skips = self.counters(catalogue.JOB_SKIPS)
        self._trigger_failures = self.counter(catalogue.JOB_TRIGGER_FAILURES)
        self._orphans = self.counter(catalogue.JOB_ORPHANS)
        self._remembered = self.counter(catalogue.JOB_REMEMBERED)
        self._unclaimed = self.counter(catalogue.JOB_UNCLAIMED)
        self._undercounts = self.counter(catalogue.JOB_UNDERCOUNTS)
        self._run_seconds = self.counter(catalogue.JOB_RUN_SECONDS)
        self._duration = self.histogram(catalogue.JOB_DURATION)
        self._lateness = self.histogram(catalogue.JOB_LATENESS)
        self._parts = self.counters(catalogue.JOB_LATENESS_PART)
        self._failing = self.gauge(catalogue.JOB_FAILING, start=0)
        self._unsuccessful = self.gauge(catalogue.JOB_UNSUCCESSFUL)
        self._unsuccessful_latest = self.gauge(catalogue.JOB_UNSUCCESSFUL_LATEST)
        self._last_start = self.gauge(catalogue.JOB_LAST_START)
        self._last_success = self.gauge(catalogue.JOB_LAST_SUCCESS)
        self._last_completion = self.gauge(catalogue.JOB_LAST_COMPLETION)
        self._next = self.gauge(catalogue.JOB_NEXT)
        self._interval = self.gauge(catalogue.JOB_INTERVAL)
        self._max_runtime = self.gauge(catalogue.JOB_MAX_RUNTIME)
        self._grace = self.gauge(catalogue.JOB_GRACE)
        self._contested = self.gauge(catalogue.JOB_CONTESTED)
        self._paused = False
        self._interval_tracker = IntervalTracker()
        self._streak = Streak()

    def declared(self, event: JobRegistered) -> None:
        """Take the job's registration."""
        with self.lock:
            self._changes += 1
            self.gone = False
            self._grace.value = event.grace_ns / _S
            self._interval_tracker = IntervalTracker(event.next_due_ns, event.interval_ns)
            self._keep_interval()
            self._max_runtime.value = _seconds(event.timeout_ns)
            self._contested.value = None
            if event.job == self._name:
                self._take_over(event.streak)

    def moved(self, move: _Move) -> None:
        """Take one move of an occurrence."""
        take = self._TAKEN_BY.get(move.event)
        if take is not None:
            with self.lock:
                self._changes += 1
                take(self, move)

    def passed(self, event: InstantsMissed | InstantsElsewhere, outcome: Outcome) -> None:
        """Count instants that passed, and were not taken up here: due and ended at once."""
        with self.lock:
            self._changes += 1
            self._due.add(event.count)
            self._outcomes[outcome.value].add(event.count)
            if not event.exact:
                self._undercounts.add()
            if event.job == self._name:
                self._interval_tracker.passed(event.before_ns)
                self._keep_interval()

    def skipped(self, event: InstantsSkipped) -> None:
        """Count instants that passed while the job was in hand, or paused: due and ended at once."""
        with self.lock:
            self._changes += 1
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
            self._changes += 1
            known = set(self._open)
            self._open.clear()
            self._running.clear()
            self._overdue.clear()
            for event in moves:
                if event.event == OccurrenceEvent.FELL_DUE:
                    self._open[_key_of(event)] = None
                elif event.event == OccurrenceEvent.STARTED:
                    self._started(event)
                elif event.event == OccurrenceEvent.STOP_ASKED:
                    self._stop_asked(event)
            self._due.add(len(self._open.keys() - known))
            unheard = len(known - self._open.keys())
            if unheard:
                self._outcomes[OVERFLOW].add(unheard)

    def trigger_failed(self) -> None:
        """Count a trigger that raised."""
        with self.lock:
            self._changes += 1
            self._trigger_failures.add()

    def paused(self, *, is_so: bool) -> None:
        """Take that operators have paused the job, or that it goes on."""
        with self.lock:
            if is_so != self._paused:
                self._changes += 1
                self._paused = is_so
                self._take_over(self._streak)

    def contested(self, event: JobContested) -> None:
        """Take that another program claims the job's instants, or no longer does."""
        with self.lock:
            self._changes += 1
            self._contested.value = _seconds(event.since_wall_ns)

    def claim_cache_hit(self) -> None:
        """Count a round trip saved."""
        with self.lock:
            self._changes += 1
            self._remembered.add()

    def orphan_found(self) -> None:
        """Count a claim whose claimant died."""
        with self.lock:
            self._changes += 1
            self._orphans.add()

    def live(self, now: Reading) -> Iterable[tuple[Metric, tuple[str, ...], float]]:
        """Return the ages that rules read."""
        next_due_ns = self._interval_tracker.next_due_ns
        if (
            next_due_ns is not None and self._name != OVERFLOW and not self._paused
        ):  # several jobs have no one next instant
            late_ns = max(0, now.wall_ns - next_due_ns)
            yield catalogue.JOB_OVERDUE, (), 0 if self._open and late_ns < _UNTOLD_MAX_NS else late_ns / _S
        if self._running:
            since_ns = min(self._running.values())
            yield catalogue.JOB_RUNNING_FOR, (), max(0, now.wall_ns - since_ns) / _S
        if self._streak.since_ns is not None and not self._paused:
            yield catalogue.JOB_UNSUCCESSFUL_FOR, (), max(0, now.wall_ns - self._streak.since_ns) / _S

    def _take_over(self, streak: Streak) -> None:
        """Take over the job's streak from the ledger: failures of an earlier process still count."""
        self._streak = streak
        self._failing.value = streak.failures
        self._unsuccessful.value = None if self._paused else _seconds(streak.since_ns)
        self._unsuccessful_latest.value = None if self._paused else _seconds(streak.latest_ns)
        if streak.succeeded_wall_ns is not None:
            self._last_success.value = streak.succeeded_wall_ns / _S

    def _fell_due(self, move: _Move) -> None:
        self._due.add()
        if len(self._open) < _OPEN_MAX:
            self._open[_key_of(move)] = None
        else:
            self._outcomes[OVERFLOW].add()  # its outcome will never be known
        if move.kind == SCHEDULED:
            self._fell_due_next(move.job, move.due_ns, move.next_due_ns)

    def _fell_due_next(self, job: str, due_ns: int, next_due_ns: int | None) -> None:
        if job == self._name:
            self._interval_tracker.fell_due(due_ns, next_due_ns)
            self._keep_interval()

    def _keep_interval(self) -> None:
        self._next.value = _seconds(self._interval_tracker.next_due_ns)
        self._interval.value = _seconds(self._interval_tracker.interval_ns)

    def _started_unclaimed(self, _: _Move) -> None:
        self._unclaimed.add()

    def _started(self, move: _Move) -> None:
        if len(self._running) < _OPEN_MAX:
            self._running[_key_of(move)] = move.wall_ns
        self._last_start.value = move.wall_ns / _S

    def _stop_asked(self, move: _Move) -> None:
        key = _key_of(move)
        if move.reason == "timeout" and key in self._running:
            self._overdue[key] = None

    def _ended(self, move: _Move) -> None:
        outcome, key = move.outcome or "", _key_of(move)
        self._outcomes[outcome].add()
        self._open.pop(key, None)
        if outcome == Outcome.SKIPPED:
            self._skips[move.reason].add()
        self._take_over(prolonged(self._streak, outcome, move.due_ns, move.wall_ns, reason=move.reason))
        if self._running.pop(key, None) is not None:
            self._last_completion.value = move.wall_ns / _S
            self._overdue.pop(key, None)
        trace_id = move.run_id if move.sampled else ""
        if move.ran_ns is not None:
            self._run_seconds.add(move.ran_ns / _S)
            self._duration.observe(move.ran_ns / _S, trace_id, move.wall_ns)
        if move.lateness is not None:
            self._was_late(move.lateness, trace_id, move.wall_ns)

    def _was_late(self, lateness: Lateness, trace_id: str, wall_ns: int) -> None:
        self._lateness.observe(lateness.total_ns / _S, trace_id, wall_ns)
        self._parts["timer"].add(max(0, lateness.timer_ns) / _S)
        self._parts["pool"].add(max(0, lateness.pool_ns) / _S)
        self._parts["lock"].add(max(0, lateness.lock_ns) / _S)
        self._parts["start"].add(max(0, lateness.start_ns) / _S)

    # The moves between these change no series.
    _TAKEN_BY: ClassVar[Mapping[str, Callable[[JobGroup, _Move], None]]] = {
        OccurrenceEvent.FELL_DUE: _fell_due,
        OccurrenceEvent.STARTED_UNCLAIMED: _started_unclaimed,
        OccurrenceEvent.STARTED: _started,
        OccurrenceEvent.STOP_ASKED: _stop_asked,
        OccurrenceEvent.ENDED: _ended,
    }


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / _S


def _key_of(move: _Move) -> _Key:
    return move.job, move.due_ns, move.run_id
