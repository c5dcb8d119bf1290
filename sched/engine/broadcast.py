"""Pass each event to every sink; a sink that raises affects no run and no other sink, and is always reported.

Forbidden: to raise (but see foreign_errors.py), to drop a sink, to reorder events.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.engine.foreign_errors import is_program_exit
from tickglass.sched.errors import failure_text
from tickglass.sched.events import LockMoved, OccurrenceMoved, SinkFailed
from tickglass.sched.state_machine import MoveSink, move_sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event
    from tickglass.sched.ports import EventSink, RunTracer, TracedRun
    from tickglass.sched.state_machine import LockMove, OccurrenceMove

    _Takers = tuple[tuple[str, Callable[[Event], None]], ...]

__all__ = ["Broadcast", "GuardedTracer"]

_log: Final = logging.getLogger(__name__)
_QUIET_NS: Final = 60 * SECOND  # one log line a minute for each failing sink


class Broadcast(MoveSink):
    """All sinks as one that never raises.

    A move becomes an event if one of the sinks asks for it, and then it is one event for all.

    Args:
        sinks: by name; the name is what a failure is counted under.
    """

    def __init__(self, sinks: Mapping[str, EventSink], clock: Clock) -> None:
        self._sinks = tuple((name, move_sink(sink)) for name, sink in sinks.items())
        self._takers: dict[type[Event], _Takers] = {}
        self._on_occurrence = tuple((name, sink.occurrence_moved) for name, sink in self._who_takes(OccurrenceMoved))
        self._on_lock = tuple((name, sink.lock_moved) for name, sink in self._who_takes(LockMoved))
        self._clock = clock
        self._logged_ns: dict[str, int] = {}

    def record(self, event: Event) -> None:
        """Pass the event to every sink that takes its type, and every failure to every sink."""
        takers = self._takers.get(type(event))
        if takers is None:
            takers = tuple((name, sink.record) for name, sink in self._who_takes(type(event)))
            self._takers[type(event)] = takers
        for name, record in takers:
            try:
                record(event)
            except BaseException as error:  # noqa: BLE001 - a sink is foreign code
                self.failed(name, error)

    def occurrence_moved(self, move: OccurrenceMove) -> None:
        """See `MoveSink`."""
        for name, moved in self._on_occurrence:
            try:
                moved(move)
            except BaseException as error:  # noqa: BLE001 - a sink is foreign code
                self.failed(name, error)

    def lock_moved(self, move: LockMove) -> None:
        """See `MoveSink`."""
        for name, moved in self._on_lock:
            try:
                moved(move)
            except BaseException as error:  # noqa: BLE001 - a sink is foreign code
                self.failed(name, error)

    def failed(self, name: str, error: BaseException) -> None:
        """Report a failure of telemetry to every sink, and once a minute to the log.

        An exit that is meant for the whole program is raised again.
        """
        if is_program_exit(error):
            raise error
        failure = SinkFailed(sink=name, error=failure_text(error), wall_ns=self._clock.wall_ns())
        now_ns = self._clock.monotonic_ns()
        last_ns = self._logged_ns.get(name)
        if last_ns is None or now_ns - last_ns >= _QUIET_NS:
            self._logged_ns[name] = now_ns
            _log.error("telemetry sink %s raised; it stays in use", name, exc_info=error)
        for other, sink in self._sinks:
            try:
                sink.record(failure)
            except BaseException as again:  # reported above; a report must not recurse
                if is_program_exit(again):
                    raise
                _log.debug("telemetry sink %s raised on a failure report: %r", other, again)

    def _who_takes(self, kind: type[Event]) -> list[tuple[str, MoveSink]]:
        return [(name, sink) for name, sink in self._sinks if sink.takes(kind)]


class GuardedTracer:
    """A `RunTracer` around one that may raise: samplers and exporters are foreign code."""

    def __init__(self, tracer: RunTracer, broadcast: Broadcast) -> None:
        self._tracer = tracer
        self._broadcast = broadcast

    def begin(self, run: TracedRun) -> bool:
        """See `RunTracer`; a run whose span cannot begin is not sampled."""
        try:
            return self._tracer.begin(run)
        except BaseException as error:  # noqa: BLE001 - reported; the run goes on
            self._broadcast.failed("tracer", error)
            return False

    def activate(self, run_id: str) -> AbstractContextManager[object]:
        """See `RunTracer`."""
        try:
            active = self._tracer.activate(run_id)
        except BaseException as error:  # noqa: BLE001 - reported; the run goes on
            self._broadcast.failed("tracer", error)
            return nullcontext()
        return active if isinstance(active, nullcontext) else self._guarded(active)

    @contextmanager
    def _guarded(self, active: AbstractContextManager[object]) -> Iterator[None]:
        with ExitStack() as entered:
            try:
                entered.enter_context(active)
            except BaseException as error:  # noqa: BLE001 - reported; the run goes on
                self._broadcast.failed("tracer", error)
            yield
