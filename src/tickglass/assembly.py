"""Put the engine of one scheduler together: store, owner, telemetry, spool."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from tickglass.owner import Slot, spool_path
from tickglass.sched.engine.broadcast import Broadcast, GuardedTracer
from tickglass.sched.engine.context import EngineContext
from tickglass.sched.engine.engine import Engine
from tickglass.sched.engine.timing.clock_skew import SkewGuard
from tickglass.sched.errors import ConfigError
from tickglass.sched.events import InterpreterPaused, TelemetryDropped
from tickglass.sched.stores import open_store
from tickglass.sched.stores.spool import SqliteSpool
from tickglass.stopping import InsideSink
from tickglass.telemetry.endpoint.access import checked_token, token_in_environment
from tickglass.telemetry.endpoint.exporter import MetricsServer
from tickglass.telemetry.internals import GcMonitor
from tickglass.telemetry.logs import LogSink
from tickglass.telemetry.metric import Detail
from tickglass.telemetry.sidecar.transport.socket_path import path_of
from tickglass.telemetry.sidecar.transport.stream import StreamSink
from tickglass.telemetry.spans import SpanSink

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import EventSink
    from tickglass.stopping import Inside
    from tickglass.telemetry.metrics import MetricSink

__all__ = [
    "FULL_DETAIL_MAX",
    "OUR_SINKS",
    "SIDECAR_ENV",
    "MetricsDetail",
    "OnSkew",
    "Parts",
    "checked_detail",
    "checked_path",
    "detail_for",
    "refuses_skew",
    "sidecar_path",
    "token_of",
    "warn_of_detail",
]

OUR_SINKS: Final = ("spans", "metrics", "logs", "sidecar")
SIDECAR_ENV: Final = "TICKGLASS_SIDECAR"
FLUSH_S: Final = 2.0  # for spans and events that are still to be exported when everything else has stopped
FULL_DETAIL_MAX: Final = 200  # jobs that are shown at full detail unless it is asked for: about 22,000 series

_log: Final = logging.getLogger(__name__)

OnSkew = Literal["warn", "refuse"]
MetricsDetail = Literal["full", "compact"]


@dataclass(frozen=True)
class Parts:
    """What a scheduler was asked to be; checked. See `Scheduler`."""

    store_url: str
    service: str
    owner: str | None
    labels: frozenset[str]
    listen: str | None
    detail: Detail | None
    token: str
    sidecar: str | None
    workers: int | None
    max_skew_ns: int
    refuse_skew: bool
    spool: Path | None
    sinks: Mapping[str, EventSink]

    def assembled(
        self, metrics: MetricSink, clock: Clock, inside: Inside, undo: ExitStack
    ) -> tuple[Engine, MetricsServer | None]:
        """Open all resources, and register in `undo` how to close them.

        Raises:
            ConfigError: one of them cannot be used.
            StoreUnavailable: the store answered with an error.
        """
        store = open_store(self.store_url, clock)
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
                detail=metrics.detail,
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
        engine = Engine(context, workers=self.workers, skew=skew, labels=self.labels)
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


def checked_detail(detail: MetricsDetail | None) -> Detail | None:
    """Return the detail of the metrics that was asked for; None: it depends on how many jobs there are.

    Raises:
        ConfigError: it is neither of the two words.
    """
    if detail is None:
        return None
    if detail not in tuple(Detail):
        raise ConfigError("metrics_detail is one of two words", given=repr(detail), instead=('"full"', '"compact"'))
    return Detail(detail)


def detail_for(asked: Detail | None, jobs: int) -> Detail:
    """Return the detail of a scheduler that starts with so many jobs."""
    if asked is not None:
        return asked
    return Detail.COMPACT if jobs > FULL_DETAIL_MAX else Detail.FULL


def warn_of_detail(asked: Detail | None, jobs: int) -> None:
    """Warn when a job is added to a running scheduler that would have started at compact detail with it."""
    if asked is None and jobs == FULL_DETAIL_MAX + 1:
        _log.warning(
            'there are %d jobs now, and their metrics stay at full detail: metrics_detail="compact" halves the series, '
            'metrics_detail="full" says that it shall be so',
            jobs,
        )


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


def refuses_skew(on_skew: OnSkew) -> bool:
    """Return whether an instance whose clock is wrong starts no runs.

    Raises:
        ConfigError: it is neither of the two words.
    """
    if on_skew not in ("warn", "refuse"):
        raise ConfigError("on_skew is one of two words", given=repr(on_skew), instead=('"warn"', '"refuse"'))
    return on_skew == "refuse"
