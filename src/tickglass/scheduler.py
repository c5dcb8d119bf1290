"""Assemble jobs, store, telemetry and engine: the class that users work with."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, Unpack

from tickglass.control import Control
from tickglass.locks import SchedulerLock, SchedulerLockHost
from tickglass.sched.durations import US, duration_ns
from tickglass.sched.errors import ConfigError
from tickglass.sched.job import TTL_DEFAULT, Callees, check_policies, checked_trigger, declare
from tickglass.sched.lifecycle import SchedulerState
from tickglass.sched.lock_terms import lock_terms
from tickglass.sched.stores import DEFAULT_STORE
from tickglass.signals import StopSignals
from tickglass.stop_by_signal import stop_hearing, tell_interrupted
from tickglass.stopping import Inside, Stopping

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike
    from pathlib import Path
    from types import TracebackType

    from tickglass.parts import Loop, MetricsDetail, OnSkew, Precision
    from tickglass.sched.clock import Clock
    from tickglass.sched.durations import Duration
    from tickglass.sched.engine.engine import Engine
    from tickglass.sched.engine.locking.manual_lock import ManualLocks
    from tickglass.sched.job import Job, Policies
    from tickglass.sched.policies.preference import Preference
    from tickglass.sched.ports import EventSink
    from tickglass.sched.triggers import Trigger
    from tickglass.telemetry.endpoint.collector import SchedulerCollector
    from tickglass.telemetry.endpoint.exporter import MetricsServer

__all__ = ["Scheduler"]

Function = TypeVar("Function", bound="Callable[..., Any]")


class Scheduler:
    """Runs jobs, and reports every transition and every run.

    Nothing is opened, written or started before `start` (or `run`, `with`, `async with`). After a stop it may start
    again, with the same jobs: it opens everything anew, and its counters go on.

    Args:
        store: URL of the store that instances share: "sqlite:///jobs.db" (the default), "redis://localhost:6379".
        service: the name of what these jobs belong to; a metric label.
        owner: stable name of this instance; default: host/service/slot.
        labels: by which jobs and locks may prefer this instance, such as {"region": "a"}.
        metrics: where to serve /metrics, /healthz and /readyz; None: nowhere. "localhost": on this machine
            alone, at the first free port from 9464 on; ":9464": at that port, on all interfaces, or not at all.
        metrics_detail: how much /metrics and a sidecar show of each job: "full", up to 110 series for a job
            with its lock, or "compact", up to 55; default: by the number of jobs at the start, compact
            above 200. It stays until the stop, also if jobs are added. See docs/telemetry.md.
        token: required by that endpoint, except at /healthz and for the status of /readyz: Authorization:
            Bearer TOKEN; default: the environment variable TICKGLASS_TOKEN, or none; "": none.
        telemetry: the address of a sidecar that receives all events, e.g.
            "unix:///run/tickglass.sock"; default: the environment variable
            TICKGLASS_SIDECAR, or none. The sidecar need not run.
        workers: how many jobs may run at once on threads; default: CPU count x 1.5.
            Coroutines hold no worker while they run, but a worker claims and settles them: while
            all workers are busy, they wait as well.
        drain: how long `stop` lets runs continue.
        sinks: your own `EventSink`s, by name.
        max_skew: how far our clock may be from the store's; beyond that, `/readyz` answers 503, rates
            follow the store's clock, and nothing is claimed before its instant on that clock.
        on_skew: "warn": only that; "refuse": also start no runs.
        spool: where outcomes wait while the store cannot be reached; default: a
            file beside the lock of this instance's slot.
        clock: where time comes from; default: the machine's clocks. A test gives `tickglass.testing.FakeClock`,
            and moves it: jobs, leases, drains and time-outs then go by that clock.
        loop: the application's event loop, on which coroutine jobs then run, so that they may use its clients and
            locks; or a function that returns it, asked at each start: `loop=asyncio.get_running_loop`.
            Default: a loop of the scheduler's own, in a thread of its own.
        precision: "sleep", or "spin": a worker that waits for a due instant looks at the clock without a pause for the
            last 0.2 ms. That takes as much of a processor for each instant, and saves the delay of a wake-up.
        switch_interval: how long a computing thread may keep the interpreter to
            itself while this scheduler runs; None: unchanged. Python's default of 5 ms
            delays every step of a run by that much beside a busy thread.

    Raises:
        ConfigError: naming the argument that is wrong.
    """

    def __init__(  # noqa: PLR0913 - choices, by name, and each has a default
        self,
        store: str = DEFAULT_STORE,
        *,
        service: str = "default",
        owner: str | None = None,
        labels: Mapping[str, str] | None = None,
        metrics: str | None = None,
        metrics_detail: MetricsDetail | None = None,
        token: str | None = None,
        telemetry: str | None = None,
        workers: int | None = None,
        drain: Duration = "30s",
        sinks: Mapping[str, EventSink] | None = None,
        max_skew: Duration = "1s",
        on_skew: OnSkew = "warn",
        spool: str | Path | None = None,
        clock: Clock | None = None,
        loop: Loop | None = None,
        precision: Precision = "sleep",
        switch_interval: Duration | None = "100us",
    ) -> None:
        # Here, and nowhere under a lock: a program that takes locks or reads triggers needs none of these parts.
        from tickglass.assembly import Assembly  # noqa: PLC0415
        from tickglass.parts import Parts  # noqa: PLC0415

        self._parts = Parts.checked(
            store,
            clock=clock,
            service=service,
            owner=owner,
            labels=labels,
            listen=metrics,
            detail=metrics_detail,
            token=token,
            sidecar=telemetry,
            workers=workers,
            max_skew=max_skew,
            on_skew=on_skew,
            spool=spool,
            sinks=sinks,
            loop=loop,
            precision=precision,
        )
        self._drain_ns = duration_ns(drain, what="drain", min_ns=0)
        self._switch_ns = (
            None if switch_interval is None else duration_ns(switch_interval, what="switch_interval", min_ns=US)
        )
        self._assembly = Assembly(self._parts)
        self._jobs: dict[str, Job] = {}
        self._callees = Callees()
        self._mutex = threading.RLock()
        self._inside = Inside()
        self._stopping: Stopping | None = None  # of the latest start
        self._engine: Engine | None = None  # likewise
        self._live: _Live | None = None  # likewise, once it has started
        self._end_run: Callable[[], None] = lambda: None
        self._server: MetricsServer | None = None

    @property
    def store_url(self) -> str:
        """The URL of the store, as given."""
        return self._parts.store_url

    @property
    def service(self) -> str:
        """What the jobs belong to."""
        return self._parts.service

    def job(self, trigger: Trigger, **policies: Unpack[Policies]) -> Callable[[Function], Function]:
        """Return a decorator that registers a function as a job and leaves it as it is.

        Args:
            trigger: `every(...)`, `cron(...)` or `at(...)`.
            policies: see `tickglass.sched.job.declare`.

        Raises:
            ConfigError: naming what is wrong; nothing was registered.
        """
        checked_trigger(trigger)  # here: without a call, the decorator would never get to see the function

        def register(function: Function) -> Function:
            self.add(function, trigger, **policies)
            return function

        return register

    def add(self, function: Callable[..., Any], trigger: Trigger, **policies: Unpack[Policies]) -> None:
        """Register a function as a job, before or after the start; see `job`.

        While the store is away, a running scheduler adds it and registers it later.

        Raises:
            ConfigError: naming what is wrong; nothing was added.
            StoreUnavailable: running, and the store answered with an error; nothing was added.
        """
        self._assembly.fork.check()
        check_policies(policies)
        job = declare(function, trigger, service=self.service, read=self._callees.of, **policies)
        with self._mutex, self._inside:
            if job.name in self._jobs:
                raise ConfigError(f"there is already a job named {job.name}", instead=('name="another"',))
            if self._live is not None:
                self._live.engine.add(job)
            self._jobs[job.name] = job
            if self._live is not None:
                self._parts.warn_of_detail(len(self._jobs))

    def load(self, path: str | PathLike[str], *, targets: Iterable[str] = ()) -> None:
        """Add the jobs that a file declares, before the start: all of them, or none if anything in it is wrong.

        A target that cannot be imported is logged as an error, and each run of its job fails. See docs/jobs-file.md.

        Args:
            path: a TOML file.
            targets: the modules that the file may name, such as "billing.", with all modules in them; default: none.

        Raises:
            ConfigError: naming file, line and what is wrong; or the scheduler runs; nothing was added.
        """
        from tickglass.jobs_file import load_jobs  # noqa: PLC0415 - tomllib: only for programs with such a file

        self._assembly.fork.check()
        loaded = load_jobs(path, targets=targets, declare=partial(declare, service=self.service, read=self._callees.of))
        with self._mutex, self._inside:
            if self._stopping is not None and not self._stopping.ended:
                raise ConfigError("a jobs file is loaded before the start, because it is added as a whole")
            loaded.refuse_taken(self._jobs)
            self._jobs.update(loaded.jobs)

    def lock(
        self,
        resource: str,
        *,
        ttl: Duration = TTL_DEFAULT,
        wait: Duration | None = None,
        blocking: bool = True,
        renew: bool = True,
        prefer: str | Preference | None = None,
    ) -> SchedulerLock:
        """Return a lock on a resource, for `with` and `async with`, under leases like those of jobs.

        It may be made at any time, and taken while this scheduler runs.

        Args:
            resource: what the lock protects; shared with the jobs whose resource it is.
            ttl: how long the lease lasts if this process dies.
            wait: how long to wait while another holder has it; None: for ever.
            blocking: False: do not wait at all.
            renew: False: the lease ends after `ttl`, and is not renewed.
            prefer: labels of the instances that should have it, "region=a" or "region=a,
                region=b": while a preferred one is there, others wait 200 ms (those named
                next) or 800 ms longer. `preference(..., near=, far=)` sets both.

        Raises:
            ConfigError: naming what is wrong; and, when the lock is taken, that this scheduler does not run.
        """
        terms = lock_terms(resource, ttl=ttl, wait=wait, blocking=blocking, renew=renew, prefer=prefer)
        return SchedulerLock(terms, SchedulerLockHost(self._manual_locks, terms.resource))

    def control(self, *, by: str | None = None) -> Control:
        """Return what acts on all schedulers of this store: pauses jobs, runs one now, and so on.

        Args:
            by: who acts, for the audit log; default: the user of the operating system.
        """
        return Control(self._parts.open_store(self._parts.clock), by=by)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs, by name."""
        return dict(self._jobs)

    @property
    def metrics_port(self) -> int | None:
        """The port that /metrics is served on; None while it is not."""
        if self._server is None or self._assembly.fork.trouble is not None:
            return None
        return self._server.port or None

    @property
    def collector(self) -> SchedulerCollector:
        """All metrics of this scheduler, for an application that has a registry of its own: `REGISTRY.register(it)`.

        It may be registered at any time. While the scheduler is stopped, it shows the past: counts, and when
        something last happened.
        """
        return self._assembly.collector

    def start(self) -> None:
        """Open the store, serve metrics, start everything; returns at once.

        If the store cannot be reached, the scheduler runs but is not ready, and it continues when the
        store answers. See docs/outages.md.

        Raises:
            ConfigError: the store or the metrics address cannot be used, or it runs already; nothing was started.
            StoreUnavailable: the store answered with an error, e.g. to a wrong password; nothing was started.
        """
        self._start_with(self._parts.loop_now())

    def _start_with(self, loop: AbstractEventLoop | None) -> None:
        self._assembly.fork.check()
        self._assembly.load()
        with self._mutex, self._inside:
            self._refuse_to_start_twice()
            self._assembly.fork.started()
            stopping = Stopping(
                self._parts.clock,
                lambda drain_ns: self._carry_out_stop(stopping, drain_ns),
                executions=self._executions,
                ended=lambda: self._stopped(stopping),
            )
            stopping.start()
            before, self._stopping = self._stopping, stopping
            try:
                self._start(loop)
            except BaseException:
                self._stopping = before
                stopping.dismiss()
                self._assembly.fork.stopped()
                raise

    async def start_async(self) -> None:
        """Do what `start` does, without blocking the caller's event loop.

        A caller that is cancelled meanwhile has started nothing: what starts all the same is stopped.

        Raises:
            ConfigError: as `start`.
            StoreUnavailable: as `start`.
        """
        from tickglass.aside import entered_aside  # noqa: PLC0415 - asyncio: only for coroutines

        loop = self._parts.loop_now()  # here: on the thread of the start no loop runs
        await entered_aside(lambda: self._start_with(loop), lambda: None, self.stop, "scheduler-start")

    def _refuse_to_start_twice(self) -> None:
        if self._stopping is None or self._stopping.ended:
            return
        if self._stopping.asked:
            raise ConfigError("this scheduler has not stopped yet; it may start again when `stop` has returned")
        raise ConfigError("this scheduler runs already")

    def _start(self, loop: AbstractEventLoop | None) -> None:
        begins = SchedulerState.NEW if self._engine is None else self._engine.state
        with ExitStack() as undo:
            engine, server = self._assembly.assembled(
                self._inside, undo, jobs=len(self._jobs), begins=begins, loop=loop
            )
            self._engine = engine
            for job in self._jobs.values():
                engine.add(job)
            if server is not None:
                server.start()
                undo.callback(server.stop)
            self._server = server  # before the engine starts: a sink may ask for the port
            if self._switch_ns is not None:
                undo.callback(sys.setswitchinterval, sys.getswitchinterval())
                sys.setswitchinterval(min(self._switch_ns / 1e9, sys.getswitchinterval()))
            undo.callback(engine.stop, 0)  # a Ctrl-C may come when the engine runs, and before that is known here
            engine.start()
            self._live = _Live(engine, loop, undo.pop_all())

    def stop(self, drain: Duration | None = None) -> list[str]:
        """Claim nothing more, let the runs end, release everything, flush telemetry.

        It may be called from any thread, any number of times: the stop happens once, and every call waits for it.
        Code that the stop waits for does not wait: a job, a sink, a callback, a thread of the scheduler, the
        application's event loop that was given to it, or a signal handler that interrupts `start` or `add`. There
        the call returns an empty list at once, and the stop continues; the run that called it has `drain` to end, as
        all others.

        Raises:
            ConfigError: it was started before this process was forked, and runs in another one.

        Returns:
            The names of jobs whose runs did not end in time; empty after a clean stop. Their leases expire by
            themselves, also if the scheduler starts again meanwhile: no other run of theirs starts before.
        """
        stopping = self._asked_to_stop(drain)
        waited_for = self._inside.is_waited_for or self._is_in_given_loop()
        return [] if stopping is None or waited_for else stopping.wait()

    async def stop_async(self, drain: Duration | None = None) -> list[str]:
        """Do what `stop` does, without blocking the caller's event loop; a job's coroutine does not wait either.

        A caller that is cancelled meanwhile does not wait any more; the stop continues.
        """
        from tickglass.aside import aside  # noqa: PLC0415 - asyncio: only for coroutines

        stopping = self._asked_to_stop(drain)
        return [] if stopping is None or self._inside.is_waited_for else await aside(stopping.wait, "scheduler-stop")

    def _is_in_given_loop(self) -> bool:
        if self._live is None or self._live.loop is None:
            return False
        from tickglass.aside import is_in_loop  # noqa: PLC0415 - likewise

        return is_in_loop(self._live.loop)

    def _asked_to_stop(self, drain: Duration | None) -> Stopping | None:
        """Request the stop of the latest start; return what to wait for, None if nothing was ever started."""
        self._assembly.fork.check()
        drain_ns = self._drain_ns if drain is None else duration_ns(drain, what="drain", min_ns=0)
        stopping = self._stopping
        if stopping is not None:
            stopping.ask(drain_ns)
        return stopping

    def _carry_out_stop(self, stopping: Stopping, drain_ns: int) -> list[str]:
        with self._mutex:  # one that is about to have started is stopped when it has
            live = self._live if self._stopping is stopping else None
        if live is None:  # the start failed
            return []
        try:
            with live.undo:
                return live.engine.stop(drain_ns)
        finally:
            self._assembly.fork.stopped()

    def _executions(self) -> list[str]:
        return [] if self._live is None else self._live.engine.executions()

    def _stopped(self, stopping: Stopping) -> None:
        if self._stopping is stopping:  # not a start that failed, and no later start
            self._end_run()

    def run(self, longest: Duration | None = None) -> list[str]:
        """Start, run until SIGTERM, SIGINT or a `stop` from another thread; each further signal shortens the wait.

        While it waits for runs, the log says for which, how long, and what one more signal does.

        Args:
            longest: stop after this time.

        Returns:
            What `stop` returns.

        Raises:
            ConfigError: as `start`; or this is not the main thread, which alone hears signals; nothing was started.
            StoreUnavailable: as `start`.
        """
        longest_s = None if longest is None else duration_ns(longest, what="longest") / 1e9
        with StopSignals() as signals:
            self._end_run = signals.finish
            try:
                self.start()
                came = signals.wait(longest_s)
                stopping, live = self._stopping, self._live
                if stopping is None or live is None:
                    return []
                return stop_hearing(signals, stopping, live.engine, by=came, drain_ns=self._drain_ns)
            finally:
                self._end_run = lambda: None

    def unready(self) -> list[str]:
        """Return why this instance is not ready, a sentence each; empty when it is."""
        elsewhere = self._assembly.fork.trouble
        if elsewhere is not None:
            return [elsewhere]
        return ["the scheduler is new"] if self._live is None else self._live.engine.unready()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is KeyboardInterrupt:
            tell_interrupted(self._executions(), self._drain_ns)
        self.stop()

    async def __aenter__(self) -> Self:
        await self.start_async()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_async()

    def _manual_locks(self) -> ManualLocks | None:
        self._assembly.fork.check()
        with self._mutex:  # a job of a scheduler that is about to have started waits until it has
            return None if self._live is None else self._live.engine.manual_locks


class _Live(NamedTuple):
    """The parts that exist only between start and stop."""

    engine: Engine
    loop: AbstractEventLoop | None  # the application's, on which coroutine jobs run
    undo: ExitStack  # gives back all that the engine does not own
