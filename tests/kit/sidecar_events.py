"""What tests of the sidecar share: a scheduler's life by the dice, and a sidecar in this process that hears of it."""

from __future__ import annotations

import gc
import os
import random
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kit.metrics_stage import LATENESS, SECOND, Stage
from kit.processes import wait_until

from tickglass.sched.clock import SystemClock
from tickglass.sched.events import (
    ActSeen,
    ClaimOrphaned,
    ClockDisciplineRead,
    ClockStepped,
    EventLoopAsked,
    EventLoopTurned,
    FirstRunOnTime,
    InstantsElsewhere,
    InstantsMissed,
    InstantsSkipped,
    JobContested,
    OrdersStand,
    PoolMoved,
    ReadinessMoved,
    SinkFailed,
    SkewMeasured,
    SpoolMoved,
    StoreCalled,
    StoreForgot,
    StoreRecordMissing,
    TelemetryDropped,
    ThreadDelayed,
    TimelineTicked,
    TriggerFailed,
)
from tickglass.sched.lease import LOCK_TRANSITIONS, LockEvent, LockReason, LockState
from tickglass.sched.lifecycle import SchedulerEvent, SchedulerMachine
from tickglass.sched.occurrence import ENDINGS, OCCURRENCE_TRANSITIONS, OccurrenceEvent, OccurrenceState, Outcome
from tickglass.sched.state_machine import MoveSink, move_sink
from tickglass.telemetry.metric import Detail
from tickglass.telemetry.sidecar.schedulers.receiver import Receiver
from tickglass.telemetry.sidecar.schedulers.sources import Source, Sources
from tickglass.telemetry.sidecar.transport.frames import (
    PROTOCOL,
    VOCABULARY,
    EventFrame,
    Introduction,
    encoded,
    introduction_frames,
)
from tickglass.telemetry.sidecar.transport.stream import StreamSink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tickglass.sched.clock import Clock
    from tickglass.sched.events import Event
    from tickglass.sched.lease import LockMachine
    from tickglass.sched.occurrence import OccurrenceMachine
    from tickglass.sched.ports import EventSink
    from tickglass.sched.state_machine import LockMove, OccurrenceMove

OWNER: Final = "host-1"  # the stage's
SERVICE: Final = "billing"
JOBS: Final = ("nightly", "hourly", "stock")
CLOCK: Final = SystemClock()


class Life:
    """The real machines, moved at random: what a scheduler tells, without the scheduler."""

    def __init__(self, seed: int, detail: Detail = Detail.FULL) -> None:
        self.stage = Stage(detail=detail)
        self._rng = random.Random(seed)
        self._locks: list[LockMachine] = []
        self._occurrences: list[OccurrenceMachine] = []
        self._numbers = 0

    def begin(self, *sinks: EventSink) -> None:
        """Start to tell."""
        self.stage.sink = Several(*sinks)
        machine = SchedulerMachine(OWNER, SERVICE, self.stage.clock, self.stage.sink)
        machine.fire(SchedulerEvent.START_ASKED)
        for job in JOBS:
            self.stage.register(job, resource="ledger" if job != "stock" else None)
        machine.fire(SchedulerEvent.STARTED)
        ready = ReadinessMoved(owner=OWNER, service=SERVICE, error="", wall_ns=self.stage.clock.wall_ns())
        self.stage.sink.record(ready)  # the first sweep of a scheduler says so

    def go_on(self, steps: int) -> None:
        """Let so many things happen."""
        for _ in range(steps):
            self.stage.clock.advance(self._rng.randrange(SECOND))
            roll = self._rng.random()
            if roll < 0.45:
                self._occurrence()
            elif roll < 0.8:
                self._lock()
            else:
                self.stage.sink.record(self._other())

    def _run_id(self) -> str:
        self._numbers += 1
        return f"{self._numbers:032x}"

    def _occurrence(self) -> None:
        if not self._occurrences or self._rng.random() < 0.2:
            sampled = self._rng.random() < 0.5
            new = self.stage.occurrence(self._rng.choice(JOBS), run_id=self._run_id(), sampled=sampled)
            self._occurrences.append(new)
        machine = self._rng.choice(self._occurrences)
        event = self._rng.choice([event for state, event in OCCURRENCE_TRANSITIONS if state is machine.state])
        if event is not OccurrenceEvent.ENDED:
            machine.fire(event, next_due_ns=self.stage.clock.wall_ns() + SECOND)
            return
        outcome = self._rng.choice(sorted(ENDINGS[machine.state]))
        ran = machine.state in (OccurrenceState.RUNNING, OccurrenceState.STOPPING)
        reason = "overlap" if outcome is Outcome.SKIPPED else ""
        machine.fire(
            event,
            outcome=outcome,
            reason=reason,
            lateness=LATENESS if ran else None,
            ran_ns=self._rng.randrange(SECOND) if ran else None,
            error="boom" if outcome is Outcome.FAILURE else "",
        )
        self._occurrences.remove(machine)

    def _lock(self) -> None:
        if not self._locks or self._rng.random() < 0.3:
            by_hand = self._rng.random() < 0.3
            resource = self._rng.choice(("ledger", "stock", "order:1"))
            new = self.stage.lock(resource, run_id="" if by_hand else self._run_id(), sampled=not by_hand)
            self._locks.append(new)
        lock = self._rng.choice(self._locks)
        event = self._rng.choice([event for state, event in LOCK_TRANSITIONS if state is lock.state])
        lock.fire(
            event,
            reason=LockReason.TIMEOUT if event is LockEvent.FAILED else None,
            fence=self.stage.next_fence() if event is LockEvent.GRANTED else None,
            margin_ns=self._rng.randrange(30 * SECOND) if event is LockEvent.RENEWED else None,
            other_owner="host-9" if event is LockEvent.GRANTED and self._rng.random() < 0.2 else "",
        )
        if lock.state is LockState.IDLE:
            self._locks.remove(lock)

    def _other(self) -> Event:
        wall_ns, job = self.stage.clock.wall_ns(), self._rng.choice(JOBS)
        return self._rng.choice(
            [
                ClaimOrphaned(job=job, due_ns=1, attempt=1, run_id="", claimant="host-9", wall_ns=wall_ns),
                JobContested(
                    job=job,
                    owner="host-1",
                    service="billing",
                    claimant="host-9",
                    since_wall_ns=self._rng.choice((None, 1)),
                    wall_ns=wall_ns,
                ),
                ClockStepped(step_ns=-5, wall_ns=wall_ns),
                FirstRunOnTime(job=job, after_ns=self._rng.randrange(SECOND), wall_ns=wall_ns),
                ThreadDelayed(core_ns=self._rng.randrange(SECOND), interpreter_ns=90_000),
                ClockDisciplineRead(
                    synchronised=self._rng.random() < 0.5,
                    offset_ns=self._rng.choice((None, -3)),
                    frequency_ratio=-1.5e-6,
                    max_error_ns=self._rng.randrange(SECOND),
                    estimated_error_ns=7,
                    wall_ns=wall_ns,
                ),
                InstantsElsewhere(job=job, count=2, exact=True, first_due_ns=1, before_ns=9, wall_ns=wall_ns),
                InstantsMissed(job=job, count=3, exact=True, first_due_ns=1, before_ns=9, wall_ns=wall_ns),
                InstantsSkipped(
                    job=job,
                    reason="overlap",
                    count=3,
                    exact=True,
                    first_due_ns=1,
                    latest_due_ns=9,
                    next_due_ns=wall_ns + SECOND,
                    wall_ns=wall_ns,
                ),
                PoolMoved(pool="default", slots=3, in_use=self._rng.randrange(4), waiting=1, waited_ns=None),
                PoolMoved(pool="default", slots=3, in_use=self._rng.randrange(4), waiting=0, waited_ns=77_000),
                EventLoopAsked(at_ns=self.stage.clock.monotonic_ns()),
                EventLoopTurned(lag_ns=self._rng.randrange(SECOND)),
                ReadinessMoved(owner="host-1", service="billing", error="", wall_ns=wall_ns),
                ReadinessMoved(owner="host-1", service="billing", error="it is full\nit is late", wall_ns=wall_ns),
                SinkFailed(sink="mine", error="boom", wall_ns=wall_ns),
                SkewMeasured(skew_ns=self._rng.randrange(SECOND), bound_ns=9, wall_ns=wall_ns),
                SpoolMoved(move="spooled", job=job, run_id="", depth=self._rng.randrange(9), wall_ns=wall_ns),
                StoreCalled(store="sqlite", operation="claim", duration_ns=9_000, error="", wall_ns=wall_ns),
                StoreCalled(store="sqlite", operation="renew", duration_ns=9, error="unavailable", wall_ns=wall_ns),
                StoreForgot(store="sqlite", jobs=2, wall_ns=wall_ns),
                self._acted(job, wall_ns),
                self._orders(job, wall_ns),
                StoreRecordMissing(store="redis", kind="lease", name="printer", wall_ns=wall_ns),
                TelemetryDropped(signal="spans", reason="queue_full", count=2),
                TimelineTicked(lag_ns=self._rng.randrange(SECOND), duration_ns=8_000, handed=1),
                TriggerFailed(job=job, error="boom", wall_ns=wall_ns),
            ]
        )

    def _acted(self, job: str, wall_ns: int) -> Event:
        return ActSeen(
            act="pause",
            by="anna",
            reason="the disk is full",
            service="billing",
            job=job,
            target="",
            due_ns=None,
            until_ns=wall_ns + SECOND,
            fence=0,
            number=self._rng.randrange(1, 9),
            wall_ns=wall_ns,
        )

    def _orders(self, job: str, wall_ns: int) -> Event:
        return OrdersStand(
            version=self._rng.randrange(1, 9),
            paused=self._rng.choice(((), (job,), ("*",))),
            jobs_paused=self._rng.randrange(3),
            draining=self._rng.random() < 0.5,
            wall_ns=wall_ns,
        )


class Several(MoveSink):
    """Several sinks as one; those that take moves without an event get them so, as from the engine's broadcast."""

    def __init__(self, *sinks: EventSink) -> None:
        self._sinks = [move_sink(sink) for sink in sinks]

    def record(self, event: Event) -> None:
        for sink in self._sinks:
            sink.record(event)

    def occurrence_moved(self, move: OccurrenceMove) -> None:
        for sink in self._sinks:
            sink.occurrence_moved(move)

    def lock_moved(self, move: LockMove) -> None:
        for sink in self._sinks:
            sink.lock_moved(move)


class InProcessSidecar:
    """A sidecar's side of the socket; `ages` is the clock that ages go by."""

    def __init__(self, path: Path, ages: Clock = CLOCK, *, uid: int | None = None, introduce_s: float = 5.0) -> None:
        self.path = str(path)
        self.sources = Sources(ages)
        self.receiver = Receiver(self.path, self.sources, clock=CLOCK, uid=uid, introduce_s=introduce_s)

    @property
    def source(self) -> Source:
        (found,) = self.sources.all()
        return found

    def connected(self) -> None:
        """Wait until a scheduler is."""
        wait_until(lambda: any(source.connected for source in self.sources.all()), "nobody connected")

    def heard(self, events: int) -> None:
        """Wait until so many came, or are known to be missing."""
        wait_until(
            lambda: bool(self.sources.all()) and self.source.events + self.source.missed >= events,
            f"{events} events were to come, and came {[s.events for s in self.sources.all()]}",
        )

    def refused(self, reason: str, count: int = 1) -> None:
        """Wait until so many connections were."""
        wait_until(
            lambda: {str(key): value for key, value in self.sources.refusals().items()}[reason] >= count,
            f"not refused as {reason}: {self.sources.refusals()}",
        )


@contextmanager
def listening(
    path: Path, ages: Clock = CLOCK, *, uid: int | None = None, introduce_s: float = 5.0
) -> Iterator[InProcessSidecar]:
    sidecar = InProcessSidecar(path, ages, uid=uid, introduce_s=introduce_s)
    sidecar.receiver.start()
    try:
        yield sidecar
    finally:
        sidecar.receiver.stop()


@contextmanager
def streaming(
    path: Path, *, capacity: int = 100_000, dropped: list[int] | None = None, detail: Detail = Detail.FULL
) -> Iterator[StreamSink]:
    """Return a started stream; what is left at the end is let go.

    No garbage is collected meanwhile: that would tell of itself, under a number of its own.
    """
    drops = [] if dropped is None else dropped
    sink = StreamSink(
        str(path),
        owner=OWNER,
        service=SERVICE,
        clock=CLOCK,
        stores=["sqlite"],
        sinks=["spans", "mine"],
        detail=detail,
        on_drop=lambda _signal, _reason, count: drops.append(count),
        ring_capacity=capacity,
    )
    gc.disable()
    sink.start()
    try:
        yield sink
    finally:
        sink.stop(0.0)
        gc.enable()


def introduction(
    live_events: Sequence[Event] = (),
    *,
    owner: str = OWNER,
    next_number: int = 1,
    began_ns: int = 1,
    dropped: int = 0,
    detail: Detail = Detail.FULL,
) -> Introduction:
    now = CLOCK.reading()
    return Introduction(
        protocol=PROTOCOL,
        vocabulary=VOCABULARY,
        version="0.1.0",
        owner=owner,
        service=SERVICE,
        pid=os.getpid(),
        began_ns=began_ns,
        wall_ns=now.wall_ns,
        boottime_ns=now.monotonic_ns,
        next_number=next_number,
        dropped=dropped,
        stores=["sqlite"],
        sinks=["spans"],
        detail=detail,
        live_events=list(live_events),
    )


def stream_of(live_events: Sequence[Event], events: Sequence[Event]) -> bytes:
    """Return what a scheduler would send."""
    told = [encoded(EventFrame(number, event)) for number, event in enumerate(events, 1)]
    return b"".join([*introduction_frames(introduction(live_events)), *told])


def connected(path: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(path)  # waits for room in the line, as it would not with a limit
    link.settimeout(30.0)
    return link
