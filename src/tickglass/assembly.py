"""Put the engine of one scheduler together: store, owner, telemetry, spool."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from tickglass.forking import ForkGuard
from tickglass.owner import Slot, spool_path
from tickglass.sched.engine.broadcast import Broadcast, GuardedTracer
from tickglass.sched.engine.context import EngineContext
from tickglass.sched.engine.engine import Engine
from tickglass.sched.engine.timing.clock_skew import SkewGuard
from tickglass.sched.events import InterpreterPaused, TelemetryDropped
from tickglass.sched.stores.spool import SqliteSpool
from tickglass.stopping import InsideSink
from tickglass.telemetry.endpoint.collector import SchedulerCollector
from tickglass.telemetry.endpoint.exporter import MetricsServer
from tickglass.telemetry.internals import GcMonitor, GcPauses
from tickglass.telemetry.logs import LogSink
from tickglass.telemetry.metrics import MetricSink
from tickglass.telemetry.sidecar.transport.stream import StreamSink
from tickglass.telemetry.spans import SpanSink
from tickglass.telemetry.tracing.provider import load_exporter

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterable
    from contextlib import ExitStack

    from tickglass.parts import Parts
    from tickglass.sched.lifecycle import SchedulerState
    from tickglass.sched.ports import EventSink
    from tickglass.stopping import Inside

__all__ = ["Assembly"]

FLUSH_S: Final = 2.0  # for spans and events that are still to be exported when everything else has stopped


class Assembly:
    """What of a scheduler lasts from one start to the next, and how all the rest is opened for one start.

    Args:
        parts: what the scheduler was asked to be.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.metrics: MetricSink | None = None  # from the first start on, which chooses its detail; its counts go on
        self._pauses = GcPauses(parts.clock)  # likewise
        self.fork = ForkGuard(parts.service)
        self.collector = SchedulerCollector(lambda: self.metrics, self._pauses, self.fork.check)

    def load(self) -> None:
        """Import what `assembled` will use and this module does not; to be called while no lock is held."""
        load_exporter()

    def assembled(
        self,
        inside: Inside,
        undo: ExitStack,
        *,
        jobs: int,
        begins: SchedulerState,
        loop: AbstractEventLoop | None,
    ) -> tuple[Engine, MetricsServer | None]:
        """Open all resources for one start, and register in `undo` how to close them.

        Args:
            jobs: how many there are: the first start chooses the detail of the metrics by it.
            begins: where the scheduler stands.
            loop: the application's, for coroutine jobs.

        Raises:
            ConfigError: one of them cannot be used.
            StoreUnavailable: the store answered with an error.
        """
        parts, clock, metrics = self.parts, self.parts.clock, self._metrics_for(jobs)
        metrics.resume()
        undo.callback(metrics.halt)
        store = parts.open_store(clock)
        undo.callback(store.close)
        abandon: list[Callable[[], object]] = []
        self.fork.holds(abandon)  # as it grows
        owner = self._owner(undo, abandon)

        def dropped(signal: str, reason: str, count: int) -> None:
            broadcast.record(TelemetryDropped(signal=signal, reason=reason, count=count))

        def unready() -> list[str]:
            return engine.unready()

        spans = SpanSink.from_environment(service=parts.service, owner=owner, clock=clock, on_drop=dropped)
        undo.callback(spans.close, FLUSH_S)
        sinks: dict[str, EventSink] = {"spans": spans, "metrics": metrics, "logs": LogSink()}
        sinks |= {name: InsideSink(sink, inside) for name, sink in parts.sinks.items()}
        stream = self._stream(owner, store.name, sinks, metrics)
        if stream is not None:
            sinks["sidecar"] = stream
        metrics.preregister(stores=[store.name], sinks=[*sinks, "tracer"])
        spool = SqliteSpool(parts.spool or spool_path(owner), parts.service)
        undo.callback(spool.close)
        broadcast = Broadcast(sinks, clock)
        server = self._server(metrics, unready, undo, abandon)  # before the sidecar hears of it: it may be refused
        if stream is not None:
            stream.start()
            undo.callback(stream.stop, FLUSH_S)
            abandon.append(stream.abandon)
        self._watch_pauses(stream, undo)
        tracer = GuardedTracer(spans, broadcast)
        context = EngineContext(clock, store, broadcast, tracer, owner, parts.service, spool, version("tickglass"))
        engine = self._engine(context, begins, loop)
        return engine, server

    def _engine(self, context: EngineContext, begins: SchedulerState, loop: AbstractEventLoop | None) -> Engine:
        parts = self.parts
        return Engine(
            context,
            workers=parts.workers,
            spin_ns=parts.spin_ns,
            skew=SkewGuard(parts.max_skew_ns, refuse=parts.refuse_skew),
            labels=parts.labels,
            begins=begins,
            loop=loop,
        )

    def _metrics_for(self, jobs: int) -> MetricSink:
        if self.metrics is None:
            self.metrics = MetricSink(self.parts.clock, service=self.parts.service, detail=self.parts.detail_for(jobs))
        return self.metrics

    def _owner(self, undo: ExitStack, abandon: list[Callable[[], object]]) -> str:
        if self.parts.owner is not None:
            return self.parts.owner
        slot = Slot(self.parts.service)
        undo.callback(slot.close)
        abandon.append(slot.close)
        return slot.owner

    def _server(
        self,
        metrics: MetricSink,
        unready: Callable[[], list[str]],
        undo: ExitStack,
        abandon: list[Callable[[], object]],
    ) -> MetricsServer | None:
        """Return the endpoint, with its port taken."""
        if self.parts.listen is None:
            return None
        server = MetricsServer(self.parts.listen, metrics.registry, unready, token=self.parts.token)
        undo.callback(server.stop)
        abandon.append(server.abandon)
        server.bind()
        return server

    def _stream(self, owner: str, store: str, sinks: Iterable[str], metrics: MetricSink) -> StreamSink | None:
        if self.parts.sidecar is None:
            return None
        return StreamSink(
            self.parts.sidecar,
            owner=owner,
            service=self.parts.service,
            clock=self.parts.clock,
            stores=[store],
            sinks=[*sinks, "tracer", "sidecar"],
            detail=metrics.detail,
            on_drop=metrics.dropped,
        )

    def _watch_pauses(self, stream: StreamSink | None, undo: ExitStack) -> None:
        """Measure the garbage collector's pauses, which only this process can."""

        def paused(generation: str, duration_ns: int) -> None:
            self._pauses.paused(generation, duration_ns)
            if stream is not None:
                stream.record(InterpreterPaused(generation=generation, duration_ns=duration_ns))

        monitor = GcMonitor(self.parts.clock, paused)
        monitor.install()
        undo.callback(monitor.remove)
