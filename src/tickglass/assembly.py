"""Put the engine of one scheduler together: store, owner, telemetry, spool."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from tickglass.owner import Slot, spool_path
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import duration_ns
from tickglass.sched.engine.broadcast import Broadcast, GuardedTracer
from tickglass.sched.engine.context import EngineContext
from tickglass.sched.engine.engine import Engine
from tickglass.sched.engine.timing.clock_skew import SkewGuard
from tickglass.sched.errors import ConfigError
from tickglass.sched.events import InterpreterPaused, TelemetryDropped
from tickglass.sched.executors.threads import checked_size
from tickglass.sched.job import checked_name
from tickglass.sched.policies.preference import checked_labels
from tickglass.sched.stores import store_opener
from tickglass.sched.stores.spool import SqliteSpool
from tickglass.sinks import checked_sinks
from tickglass.stopping import InsideSink
from tickglass.telemetry.endpoint.access import checked_token, token_in_environment
from tickglass.telemetry.endpoint.exporter import MetricsServer, parse_listen
from tickglass.telemetry.internals import GcMonitor
from tickglass.telemetry.logs import LogSink
from tickglass.telemetry.metrics import MetricSink
from tickglass.telemetry.sidecar.transport.socket_path import path_of
from tickglass.telemetry.sidecar.transport.stream import StreamSink
from tickglass.telemetry.spans import SpanSink
from tickglass.telemetry.tracing import load_exporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from tickglass.sched.clock import Clock
    from tickglass.sched.durations import Duration
    from tickglass.sched.lifecycle import SchedulerState
    from tickglass.sched.ports import EventSink, Store
    from tickglass.stopping import Inside

__all__ = [
    "OUR_SINKS",
    "SIDECAR_ENV",
    "OnSkew",
    "Parts",
    "checked_clock",
    "checked_path",
    "refuses_skew",
    "sidecar_path",
    "token_of",
]

OUR_SINKS: Final = ("spans", "metrics", "logs", "sidecar")
SIDECAR_ENV: Final = "TICKGLASS_SIDECAR"
FLUSH_S: Final = 2.0  # for spans and events that are still to be exported when everything else has stopped

OnSkew = Literal["warn", "refuse"]

_CLOCK_METHODS: Final = ("monotonic_ns", "wall_ns", "reading", "wait")


@dataclass(frozen=True)
class Parts:
    """What a scheduler was asked to be; checked. See `Scheduler`."""

    store_url: str
    open_store: Callable[[Clock], Store]
    service: str
    owner: str | None
    labels: frozenset[str]
    listen: str | None
    token: str
    sidecar: str | None
    workers: int | None
    max_skew_ns: int
    refuse_skew: bool
    spool: Path | None
    sinks: Mapping[str, EventSink]

    @classmethod
    def checked(
        cls,
        store: str,
        *,
        service: str,
        owner: str | None,
        labels: Mapping[str, str] | None,
        listen: str | None,
        token: str | None,
        sidecar: str | None,
        workers: int | None,
        max_skew: Duration,
        on_skew: OnSkew,
        spool: str | Path | None,
        sinks: Mapping[str, EventSink] | None,
    ) -> Parts:
        """Read the arguments of `Scheduler`; nothing is opened.

        Raises:
            ConfigError: naming the argument that is wrong.
        """
        parts = cls(
            store_url=store,
            open_store=store_opener(store),
            service=checked_name(service, "service"),
            owner=None if owner is None else checked_name(owner, "owner"),
            labels=checked_labels(labels),
            listen=listen,
            token="" if listen is None else token_of(token),
            sidecar=sidecar_path(sidecar),
            workers=workers,
            max_skew_ns=duration_ns(max_skew, what="max_skew"),
            refuse_skew=refuses_skew(on_skew),
            spool=None if spool is None else checked_path(spool),
            sinks=checked_sinks(sinks, ours=OUR_SINKS),
        )
        checked_size(workers)
        if listen is not None:
            parse_listen(listen)
        return parts

    def metric_sink(self, clock: Clock) -> MetricSink:
        """Return the sink whose counts last as long as the scheduler object, from one start to the next."""
        return MetricSink(clock)

    def load(self) -> None:
        """Import what `assembled` will use and this module does not; to be called while no lock is held."""
        load_exporter()

    def assembled(
        self, metrics: MetricSink, clock: Clock, inside: Inside, undo: ExitStack, *, begins: SchedulerState
    ) -> tuple[Engine, MetricsServer | None]:
        """Open all resources for one start, and register in `undo` how to close them.

        Args:
            begins: where the scheduler stands.

        Raises:
            ConfigError: one of them cannot be used.
            StoreUnavailable: the store answered with an error.
        """
        metrics.resume()
        undo.callback(metrics.halt)
        store = self.open_store(clock)
        undo.callback(store.close)
        owner = self.owner
        if owner is None:
            slot = Slot(self.service)
            undo.callback(slot.close)
            owner = slot.owner

        def dropped(signal: str, reason: str, count: int) -> None:
            broadcast.record(TelemetryDropped(signal=signal, reason=reason, count=count))

        spans = SpanSink.from_environment(service=self.service, owner=owner, clock=clock, on_drop=dropped)
        undo.callback(spans.close, FLUSH_S)
        sinks: dict[str, EventSink] = {"spans": spans, "metrics": metrics, "logs": LogSink()}
        sinks |= {name: InsideSink(sink, inside) for name, sink in self.sinks.items()}
        stream = None
        if self.sidecar is not None:
            stream = sinks["sidecar"] = StreamSink(
                self.sidecar,
                owner=owner,
                service=self.service,
                clock=clock,
                stores=[store.name],
                sinks=[*sinks, "tracer", "sidecar"],
                on_drop=metrics.dropped,
            )
        metrics.preregister(stores=[store.name], sinks=[*sinks, "tracer"])
        spool = SqliteSpool(self.spool or spool_path(owner))
        undo.callback(spool.close)
        broadcast = Broadcast(sinks, clock)
        if stream is not None:
            _start(stream, clock, undo)
        tracer = GuardedTracer(spans, broadcast)
        context = EngineContext(clock, store, broadcast, tracer, owner, self.service, spool)
        skew = SkewGuard(self.max_skew_ns, refuse=self.refuse_skew)
        engine = Engine(context, workers=self.workers, skew=skew, labels=self.labels, begins=begins)
        if self.listen is None:
            return engine, None
        return engine, MetricsServer(self.listen, metrics.registry, engine.unready, token=self.token)


def _start(stream: StreamSink, clock: Clock, undo: ExitStack) -> None:
    """Start the stream to a sidecar, with the garbage collector's pauses, which only this process can measure."""

    def paused(generation: str, duration_ns: int) -> None:
        stream.record(InterpreterPaused(generation=generation, duration_ns=duration_ns))

    stream.start()
    undo.callback(stream.stop, FLUSH_S)
    pauses = GcMonitor(clock, paused)
    pauses.install()
    undo.callback(pauses.remove)


def sidecar_path(url: str | None) -> str | None:
    """Return the path of the sidecar's socket: as given, else as the environment says; None: there is no sidecar.

    Raises:
        ConfigError: the address is no socket's, naming the variable if it stands there.
    """
    if url:
        return path_of(url)
    url = os.environ.get(SIDECAR_ENV)
    try:
        return path_of(url) if url else None
    except ConfigError as error:
        raise error.for_variable(SIDECAR_ENV) from error


def token_of(token: str | None) -> str:
    """Return the token that the endpoint requires: as given, else as the environment says; "": none.

    Raises:
        ConfigError: it cannot be sent in a header.
    """
    if token is None:
        return token_in_environment()
    return "" if token == "" else checked_token(token, "token=")


def checked_path(spool: object) -> Path:
    """Return the path of the spool.

    Raises:
        ConfigError: it is no path.
    """
    if not isinstance(spool, str | Path):
        raise ConfigError(f"spool is the path of a file, not {type(spool).__name__}", given=repr(spool))
    if not str(spool):
        raise ConfigError("spool is the path of a file", given='""', instead=('spool="spool.db"',))
    return Path(spool)


def checked_clock(clock: object) -> Clock:
    """Return the clock: the given one, or the machine's.

    Raises:
        ConfigError: it is no `Clock`.
    """
    if clock is None:
        return SystemClock()
    if isinstance(clock, type):
        raise ConfigError("a clock is an object, not a class", given=clock.__name__, instead=(f"{clock.__name__}()",))
    missing = [name for name in _CLOCK_METHODS if not callable(getattr(clock, name, None))]
    if missing:
        raise ConfigError(
            f"a clock has the methods of tickglass.clock.Clock: {type(clock).__name__} has no {missing[0]}",
            instead=("clock=tickglass.testing.FakeClock()",),
        )
    return cast("Clock", clock)


def refuses_skew(on_skew: OnSkew) -> bool:
    """Return whether an instance whose clock is wrong starts no runs.

    Raises:
        ConfigError: it is neither of the two words.
    """
    if on_skew not in ("warn", "refuse"):
        raise ConfigError("on_skew is one of two words", given=repr(on_skew), instead=('"warn"', '"refuse"'))
    return on_skew == "refuse"
