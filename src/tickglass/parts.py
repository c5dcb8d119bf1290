"""Read what a scheduler is asked to be: its arguments, and what the environment says where they say nothing."""

from __future__ import annotations

import logging
import os
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import duration_ns
from tickglass.sched.engine.running.pool import SPIN_NS, checked_size
from tickglass.sched.errors import ConfigError
from tickglass.sched.job import checked_name
from tickglass.sched.policies.preference import checked_labels
from tickglass.sched.stores import store_opener
from tickglass.sinks import checked_sinks
from tickglass.telemetry.endpoint.access import checked_token, token_in_environment
from tickglass.telemetry.endpoint.address import parse_listen
from tickglass.telemetry.metric import Detail
from tickglass.telemetry.sidecar.transport.socket_path import path_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tickglass.sched.clock import Clock
    from tickglass.sched.durations import Duration
    from tickglass.sched.ports import EventSink, Store

__all__ = ["FULL_DETAIL_MAX", "OUR_SINKS", "SIDECAR_ENV", "Loop", "MetricsDetail", "OnSkew", "Parts", "Precision"]

OUR_SINKS: Final = ("spans", "metrics", "logs", "sidecar")
SIDECAR_ENV: Final = "TICKGLASS_SIDECAR"
FULL_DETAIL_MAX: Final = 200  # jobs that are shown at full detail unless it is asked for: about 22,000 series

_log: Final = logging.getLogger(__name__)

OnSkew = Literal["warn", "refuse"]
Precision = Literal["sleep", "spin"]
MetricsDetail = Literal["full", "compact"]
Loop = AbstractEventLoop | Callable[[], AbstractEventLoop]

_CLOCK_METHODS: Final = (
    "monotonic_ns",
    "wall_ns",
    "reading",
    "wait",
    "discipline",
    "thread_delay",
    "process_began_ns",
)


@dataclass(frozen=True)
class Parts:
    """What a scheduler was asked to be; checked. See `Scheduler`."""

    store_url: str
    open_store: Callable[[Clock], Store]
    clock: Clock
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
    loop: Loop | None
    spin_ns: int

    @classmethod
    def checked(  # noqa: PLR0913 - those of `Scheduler`
        cls,
        store: str,
        *,
        clock: Clock | None,
        service: str,
        owner: str | None,
        labels: Mapping[str, str] | None,
        listen: str | None,
        detail: MetricsDetail | None,
        token: str | None,
        sidecar: str | None,
        workers: int | None,
        max_skew: Duration,
        on_skew: OnSkew,
        spool: str | Path | None,
        sinks: Mapping[str, EventSink] | None,
        loop: Loop | None,
        precision: Precision,
    ) -> Parts:
        """Read the arguments of `Scheduler`; nothing is opened.

        Raises:
            ConfigError: naming the argument that is wrong.
        """
        parts = cls(
            store_url=store,
            open_store=store_opener(store),
            clock=checked_clock(clock),
            service=checked_name(service, "service"),
            owner=None if owner is None else checked_name(owner, "owner"),
            labels=checked_labels(labels),
            listen=listen,
            detail=checked_detail(detail),
            token="" if listen is None else token_of(token),
            sidecar=sidecar_path(sidecar),
            workers=workers,
            max_skew_ns=duration_ns(max_skew, what="max_skew"),
            refuse_skew=refuses_skew(on_skew),
            spool=None if spool is None else checked_path(spool),
            sinks=checked_sinks(sinks, ours=OUR_SINKS),
            loop=checked_loop(loop),
            spin_ns=spin_of(precision),
        )
        checked_size(workers)
        if listen is not None:
            parse_listen(listen)
        return parts

    def loop_now(self) -> AbstractEventLoop | None:
        """Return the application's event loop for the start that this thread asks for; None: there is none.

        Raises:
            ConfigError: no loop runs here, or it is closed.
        """
        return None if self.loop is None else loop_of(self.loop)

    def detail_for(self, jobs: int) -> Detail:
        """Return the detail of the metrics of a scheduler that starts with so many jobs."""
        if self.detail is not None:
            return self.detail
        return Detail.COMPACT if jobs > FULL_DETAIL_MAX else Detail.FULL

    def warn_of_detail(self, jobs: int) -> None:
        """Warn when a job is added to a running scheduler that would have started at compact detail with it."""
        if self.detail is None and jobs == FULL_DETAIL_MAX + 1:
            _log.warning(
                'there are %d jobs now, and their metrics stay at full detail: metrics_detail="compact" halves the '
                'series, metrics_detail="full" says that it shall be so',
                jobs,
            )


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


def checked_loop(loop: object) -> Loop | None:
    """Return what `loop_of` takes.

    Raises:
        ConfigError: it is no event loop, and no function.
    """
    if loop is None or isinstance(loop, AbstractEventLoop) or (callable(loop) and not isinstance(loop, type)):
        return loop
    raise ConfigError(
        f"loop is an event loop, or a function that returns one, not {type(loop).__name__}",
        instead=("loop=asyncio.get_running_loop",),
    )


def loop_of(loop: Loop) -> AbstractEventLoop:
    """Return the event loop of the coroutine jobs of one start.

    Args:
        loop: a function is asked on the thread that starts the scheduler.

    Raises:
        ConfigError: no loop runs there, or it is closed.
    """
    try:
        found = loop if isinstance(loop, AbstractEventLoop) else loop()
    except RuntimeError as error:
        raise ConfigError(
            f"the scheduler is started where no event loop can be found: {error}",
            instead=("async with scheduler:", "await scheduler.start_async()"),
        ) from error
    if not isinstance(found, AbstractEventLoop):
        raise ConfigError(f"loop returned no event loop, but {type(found).__name__}")
    if found.is_closed():
        raise ConfigError("the event loop for the coroutine jobs is closed", instead=("loop=asyncio.get_running_loop",))
    return found


def refuses_skew(on_skew: OnSkew) -> bool:
    """Return whether an instance whose clock is wrong starts no runs.

    Raises:
        ConfigError: it is neither of the two words.
    """
    if on_skew not in ("warn", "refuse"):
        raise ConfigError("on_skew is one of two words", given=repr(on_skew), instead=('"warn"', '"refuse"'))
    return on_skew == "refuse"


def spin_of(precision: Precision) -> int:
    """Return for how long a worker looks at the clock before a due instant instead of sleeping, in nanoseconds.

    Raises:
        ConfigError: it is neither of the two words.
    """
    if precision not in ("sleep", "spin"):
        raise ConfigError("precision is one of two words", given=repr(precision), instead=('"sleep"', '"spin"'))
    return SPIN_NS if precision == "spin" else 0
