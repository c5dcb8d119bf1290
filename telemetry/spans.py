"""Turn the core's events into spans: one trace per run, one span event per edge of its lock.

Identity is allowed here: owner, run id, fence. Runs that are not sampled cost a
look-up per event.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from tickglass.sched.clock import instant_of
from tickglass.sched.events import FencingRejected, InstantsSkipped, LockMoved, OccurrenceMoved
from tickglass.sched.lease import LockEvent, LockState
from tickglass.sched.occurrence import DID_NOT_RUN, FAILURES, OccurrenceEvent, Outcome
from tickglass.sched.state_machine import MoveSink
from tickglass.telemetry.locks import renewed_late
from tickglass.telemetry.tracing.provider import application_provider, build_tracer_provider, within
from tickglass.telemetry.tracing.run_ids import RunIds, root_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event, Lateness
    from tickglass.sched.ports import TracedRun
    from tickglass.sched.state_machine import LockMove, OccurrenceMove
    from tickglass.telemetry.tracing.provider import OnDrop

    # The machine that moved, or the event that tells of it.
    _LockMove = LockMove | LockMoved
    _OccurrenceMove = OccurrenceMove | OccurrenceMoved

__all__ = ["SpanSink"]

RUNS_MAX: Final = 10_000  # open at once; beyond, the oldest is closed as it is
EARLY_MAX: Final = 1_000  # occurrences whose lock moved and that have no span yet
LINGER_NS: Final = 5_000_000_000  # how long an ended run waits for the end of its lock

_SCOPE: Final = "tickglass"
_NOT_TRACED: Final = nullcontext()  # it keeps nothing, so all runs without a span share it
_CRON: Final = re.compile(r'cron\("([^"]*)"')
_EXCEPTION: Final = re.compile(r"[A-Za-z_][\w.]*(?=:|$)")

_Attributes = dict[str, "AttributeValue"]


@dataclass(slots=True)
class _OpenRun:
    """A run whose root span is open."""

    span: Span
    lock_open: bool = False
    ended_ns: int | None = None  # monotonic
    last_wall_ns: int = 0


class SpanSink(MoveSink):
    """An event sink and the tracer of runs.

    The root span of a run begins when its claim was answered, with the run id
    as its trace id, and ends when both the run and its lock have ended.

    Args:
        provider: OpenTelemetry's, of your own; it is flushed by `close` and not
            shut down. None: trace nothing.
        clock: for the wall clock, should a span have to be closed without an event.
    """

    def __init__(self, provider: TracerProvider | None, clock: Clock) -> None:
        self._clock = clock
        self._tracer: trace.Tracer = trace.NoOpTracer()
        self._tracing = provider is not None
        self._finish: Callable[[], object] = lambda: None
        if provider is not None:
            self._tracer = provider.get_tracer(_SCOPE)
            self._ids = _ids_of(self._tracer, provider)
            self._finish = provider.force_flush
        self._lock = threading.RLock()
        self._runs: OrderedDict[str, _OpenRun] = OrderedDict()
        self._early: OrderedDict[str, list[LockMoved]] = OrderedDict()  # moves before the span could begin
        self._lingering: OrderedDict[str, int] = OrderedDict()  # run id, since when

    @classmethod
    def from_environment(cls, *, service: str, owner: str, clock: Clock, on_drop: OnDrop = lambda *_: None) -> SpanSink:
        """Build one for the application's own provider, if it has set one; else one that sends where OTEL_* says.

        With the application's, its spans inside a job and the run's are exported together. It is flushed by `close`,
        and not shut down; what it loses is not counted here. Otherwise see `build_tracer_provider`.
        """
        present = application_provider()
        if present is not None:
            return cls(present, clock)
        provider = build_tracer_provider(service, owner, on_drop=on_drop)
        sink = cls(provider, clock)
        if provider is not None:
            sink._finish = provider.shutdown
        return sink

    # --- RunTracer ---

    def begin(self, run: TracedRun) -> bool:
        """See `tickglass.sched.ports.RunTracer`."""
        if not self._tracing:
            return False
        links = [Link(root_of(run.previous_run_id))] if run.previous_run_id else None
        with self._ids.of(run.run_id):
            span = self._tracer.start_span(
                f"run {run.job}",
                context=Context(),  # a root, whatever is current
                kind=SpanKind.SERVER,  # as OpenTelemetry has it for timers
                attributes=_begun(run),
                links=links,
                start_time=run.began_wall_ns,
            )
        sampled = span.is_recording() and span.get_span_context().trace_flags.sampled
        with self._lock:
            early = self._early.pop(run.run_id, ())
            self._runs[run.run_id] = _OpenRun(span, last_wall_ns=run.began_wall_ns)
            if len(self._runs) > RUNS_MAX:
                self._close(next(iter(self._runs)))
        for move in early if sampled else ():
            _add_lock_event(span, move)
        return sampled

    def activate(self, run_id: str) -> AbstractContextManager[object]:
        """See `tickglass.sched.ports.RunTracer`."""
        run = self._runs.get(run_id)
        if run is None:
            return _NOT_TRACED
        return trace.use_span(run.span, record_exception=False, set_status_on_exception=False)

    # --- EventSink ---

    def takes(self, kind: type[Event]) -> bool:
        """See `MoveSink`."""
        return self._tracing and kind in (LockMoved, OccurrenceMoved, FencingRejected, InstantsSkipped)

    def record(self, event: Event) -> None:
        """See `tickglass.sched.ports.EventSink`."""
        if isinstance(event, LockMoved):
            self._trace_lock(event)
        elif isinstance(event, OccurrenceMoved):
            self._trace_occurrence(event)
        elif isinstance(event, FencingRejected) and self._tracing:
            span = self._span_of(event.run_id)
            span.add_event("fencing_rejected", _fencing_attributes(event), event.wall_ns)
        elif isinstance(event, InstantsSkipped):
            self._instants_skipped(event)

    def lock_moved(self, move: LockMove) -> None:
        """See `MoveSink`."""
        self._trace_lock(move)

    def occurrence_moved(self, move: OccurrenceMove) -> None:
        """See `MoveSink`."""
        self._trace_occurrence(move)

    def close(self, deadline_s: float = 2.0) -> bool:
        """End the open spans and send them on; return whether that was done in time."""
        with self._lock:
            for run_id in list(self._runs):
                self._close(run_id)
            self._early.clear()
        return within(deadline_s, self._finish)

    @property
    def open_runs(self) -> int:
        """How many runs have state here."""
        return len(self._runs) + len(self._early)

    # --- locks ---

    def _trace_lock(self, move: _LockMove) -> None:
        if not self._tracing:
            return
        if move.job:
            self._run_lock_moved(move)
        else:
            self._manual_lock_moved(move)

    def _run_lock_moved(self, move: _LockMove) -> None:
        run = self._runs.get(move.run_id)
        if run is None:
            self._keep_early(move)
            return
        run.lock_open = move.after != LockState.IDLE
        run.last_wall_ns = move.wall_ns
        if run.span.is_recording():
            _add_lock_event(run.span, move)
            self._add_lock_span(run.span, move)
        if not run.lock_open and run.ended_ns is not None:
            with self._lock:
                self._close(move.run_id)

    def _manual_lock_moved(self, move: _LockMove) -> None:
        span = self._span_of(move.run_id)
        if span.is_recording():
            _add_lock_event(span, move)
            self._add_lock_span(span, move)

    def _span_of(self, run_id: str) -> Span:
        """Return the current span; or, on the renewer's thread, the span of the run."""
        span = trace.get_current_span()
        run = self._runs.get(run_id)
        return span if run is None or span.is_recording() else run.span

    def _keep_early(self, move: _LockMove) -> None:
        with self._lock:
            early = self._early.get(move.run_id)
            if early is None:
                if move.event != LockEvent.REQUESTED:
                    return  # the run is over
                early = self._early[move.run_id] = []
                if len(self._early) > EARLY_MAX:
                    self._early.popitem(last=False)
            early.append(move if isinstance(move, LockMoved) else move.report())  # a machine goes on

    def _add_lock_span(self, parent: Span, move: _LockMove) -> None:
        """Add a span where an event is not enough: for a duration, or a failure."""
        attributes = _lock_attributes(move)
        if move.event == LockEvent.GRANTED:
            name, start_ns = f"lock acquire {move.resource}", move.wall_ns - move.stayed_ns
            attributes["tickglass.lock.outcome"] = "acquired"
            attributes["tickglass.lock.wait_s"] = move.stayed_ns / 1e9
        elif move.event == LockEvent.RENEWAL_FAILED or (move.event == LockEvent.RENEWED and renewed_late(move)):
            name, start_ns = f"lock renew {move.resource}", move.wall_ns
        else:
            return
        context = trace.set_span_in_context(parent, Context())
        span = self._tracer.start_span(
            name, context=context, kind=SpanKind.CLIENT, attributes=attributes, start_time=start_ns
        )
        if move.event == LockEvent.RENEWAL_FAILED:
            span.set_attribute("error.type", move.reason or "error")
            span.set_status(Status(StatusCode.ERROR))
        span.end(move.wall_ns)

    # --- occurrences ---

    def _trace_occurrence(self, move: _OccurrenceMove) -> None:
        if not self._tracing or move.event not in _SPAN_EVENTS:
            return
        run = self._runs.get(move.run_id)
        if run is None:
            if move.event == OccurrenceEvent.ENDED:
                self._never_ran(move)
            return
        run.last_wall_ns = move.wall_ns
        if run.span.is_recording():
            _add_occurrence_event(run.span, move)
        if move.event == OccurrenceEvent.ENDED:
            with self._lock:
                run.ended_ns = move.at_ns
                if run.lock_open:
                    self._lingering[move.run_id] = move.at_ns
                else:
                    self._close(move.run_id)
                self._close_lingering(move.at_ns)

    def _never_ran(self, move: _OccurrenceMove) -> None:
        with self._lock:
            early = self._early.pop(move.run_id, ())
        if move.outcome not in DID_NOT_RUN:
            return
        with self._ids.of(move.run_id):
            span = self._tracer.start_span(
                f"skip {move.job}",
                context=Context(),
                attributes={
                    "tickglass.job.name": move.job,
                    "tickglass.run.id": move.run_id,
                    "tickglass.scheduled_time": instant_of(move.due_ns).isoformat(),
                    "tickglass.owner": move.owner,
                    "tickglass.outcome": move.outcome or "",
                    "tickglass.reason": move.reason,
                },
                start_time=move.wall_ns,
            )
        for lock_move in early:
            _add_lock_event(span, lock_move)
        span.end(move.wall_ns)

    def _instants_skipped(self, event: InstantsSkipped) -> None:
        span = self._tracer.start_span(
            f"skip {event.job}",
            context=Context(),
            attributes={
                "tickglass.job.name": event.job,
                "tickglass.scheduled_time": instant_of(event.first_due_ns).isoformat(),
                "tickglass.scheduled_time.latest": instant_of(event.latest_due_ns).isoformat(),
                "tickglass.due_instants": event.count,
                "tickglass.outcome": Outcome.SKIPPED.value,
                "tickglass.reason": event.reason,
            },
            start_time=event.wall_ns,
        )
        span.end(event.wall_ns)

    # --- ends; under the lock ---

    def _close_lingering(self, now_ns: int) -> None:
        while self._lingering:
            run_id, since_ns = next(iter(self._lingering.items()))
            if now_ns - since_ns < LINGER_NS:
                return
            self._close(run_id)

    def _close(self, run_id: str) -> None:
        self._lingering.pop(run_id, None)
        run = self._runs.pop(run_id, None)
        if run is not None:
            run.span.end(run.last_wall_ns if run.ended_ns is not None else self._clock.wall_ns())


_SPAN_EVENTS: Final = frozenset(
    event.value for event in (OccurrenceEvent.STARTED, OccurrenceEvent.STOP_ASKED, OccurrenceEvent.ENDED)
)


def _ids_of(tracer: trace.Tracer, provider: TracerProvider) -> RunIds:
    """Give the tracer of our scope run ids; other tracers of the same provider keep their own."""
    present = getattr(tracer, "id_generator", None)
    ids = present if isinstance(present, RunIds) else RunIds(provider.id_generator)
    tracer.id_generator = ids  # type: ignore[attr-defined] # the SDK's tracer has it, the API's has not
    return ids


def _begun(run: TracedRun) -> _Attributes:
    """Return the attributes for the sampler, which sees only those that a span starts with."""
    due = instant_of(run.due_ns).isoformat()
    attributes: _Attributes = {
        "faas.trigger": "timer",
        "faas.time": due,
        "faas.invocation_id": run.run_id,
        "tickglass.job.name": run.job,
        "tickglass.run.id": run.run_id,
        "tickglass.scheduled_time": due,
        "tickglass.attempt": run.attempt,
        "tickglass.lock.resource": run.resource,
        "tickglass.lock.fencing_token": run.fence,
        "tickglass.owner": run.owner,
    }
    expression = _CRON.match(run.trigger)
    if expression is not None:
        attributes["faas.cron"] = expression[1]
    return attributes


def _lock_attributes(move: _LockMove) -> _Attributes:
    """Return which lock it is, and what `_lock_facts` returns."""
    attributes: _Attributes = {"tickglass.lock.resource": move.resource, "tickglass.owner": move.owner}
    if move.fence:
        attributes["tickglass.lock.fencing_token"] = move.fence
    return attributes | _lock_facts(move)


def _lock_facts(move: _LockMove) -> _Attributes:
    """Return what is particular to one move."""
    attributes: _Attributes = {}
    if move.reason:
        attributes["tickglass.lock.reason"] = str(move.reason)
    if move.margin_ns is not None:
        attributes["tickglass.lock.margin_s"] = move.margin_ns / 1e9
    if move.other_owner:
        attributes["tickglass.lock.other_owner"] = move.other_owner
    return attributes


def _fencing_attributes(event: FencingRejected) -> _Attributes:
    return {
        "tickglass.lock.resource": event.resource,
        "tickglass.lock.fencing_token": event.fence,
        "tickglass.lock.newest_fencing_token": event.newest,
        "tickglass.owner": event.owner,
    }


def _add_lock_event(span: Span, move: _LockMove) -> None:
    lost = move.event in (LockEvent.EXPIRED, LockEvent.LOST)
    # A run's span already names its lock, and attributes are most of an event's cost.
    attributes = _lock_facts(move) if move.job else _lock_attributes(move)
    if lost:
        attributes["tickglass.lock.event"] = str(move.event)
    span.add_event("lease_lost" if lost else f"lock {move.event}", attributes or None, move.wall_ns)


def _add_occurrence_event(span: Span, move: _OccurrenceMove) -> None:
    if move.event == OccurrenceEvent.ENDED:
        _set_outcome(span, move)
        return
    span.add_event(str(move.event), {"tickglass.reason": move.reason} if move.reason else None, move.wall_ns)


def _set_outcome(span: Span, move: _OccurrenceMove) -> None:
    outcome = move.outcome or ""
    attributes: _Attributes = {"tickglass.outcome": str(outcome)}
    if move.reason:
        attributes["tickglass.reason"] = move.reason
    if move.lateness is not None:
        attributes |= _lateness_attributes(move.lateness)
    span.set_attributes(attributes)
    if outcome not in FAILURES:
        return
    exception = _EXCEPTION.match(move.error) if outcome == Outcome.FAILURE else None
    span.set_attribute("error.type", exception[0] if exception is not None else str(outcome))
    span.set_status(Status(StatusCode.ERROR, move.error or move.reason or str(outcome)))
    if move.error:
        span.add_event("exception", {"exception.message": move.error}, move.wall_ns)


def _lateness_attributes(lateness: Lateness) -> _Attributes:
    return {
        "tickglass.lateness_s": lateness.total_ns / 1e9,
        "tickglass.lateness.timer_s": lateness.timer_ns / 1e9,
        "tickglass.lateness.pool_s": lateness.pool_ns / 1e9,
        "tickglass.lateness.lock_s": lateness.lock_ns / 1e9,
        "tickglass.lateness.start_s": lateness.start_ns / 1e9,
    }
