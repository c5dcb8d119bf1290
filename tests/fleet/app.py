"""What the processes of a small fleet run: `tickglass run app:scheduler`, told by FLEET_* what it shall be.

Every event that a test waits for is a line of JSON on standard output. Its clock is ahead by the first of FLEET_AHEAD's
seconds, and by the next at each SIGUSR1.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tickglass import Run, Scheduler, Trigger, cron, every
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import MS, SECOND
from tickglass.sched.events import (
    ClaimOrphaned,
    InstantsElsewhere,
    InstantsMissed,
    InstantsSkipped,
    OccurrenceMoved,
    SchedulerMoved,
)
from tickglass.sched.triggers.base import to_ns

if TYPE_CHECKING:
    from tickglass.sched.events import Event

HOME: Final = Path(os.environ["FLEET_HOME"])
JOBS: Final = os.environ["FLEET_JOBS"].split()
TTL: Final = os.environ["FLEET_TTL"]
REGION: Final = os.environ.get("FLEET_REGION", "")
AHEAD: Final = [int(seconds) * SECOND for seconds in os.environ.get("FLEET_AHEAD", "").split()]
PERIOD_NS: Final = 10 * MS
STDOUT: Final = 1


class WrongClock(SystemClock):
    """The machine's clock, set by hand."""

    def wall_ns(self) -> int:
        return super().wall_ns() + AHEAD[0]


class Teller:
    """A sink that writes a line per event: in one call, so that a kill cuts none in two."""

    def record(self, event: Event) -> None:
        if isinstance(event, SchedulerMoved) and event.after == "running":
            os.write(STDOUT, b'{"port":%d}\n' % (scheduler.metrics_port or 0))
        told = event.event in ("started", "stop_asked", "ended") if isinstance(event, OccurrenceMoved) else False
        if told or isinstance(
            event, SchedulerMoved | InstantsElsewhere | InstantsMissed | InstantsSkipped | ClaimOrphaned
        ):
            os.write(STDOUT, msgspec.json.encode(event) + b"\n")


class UntilToldToEnd(Trigger):
    """Every 10 ms, until the file `end` names the last instant: then the whole fleet comes to rest."""

    @property
    def fixed_rate(self) -> bool:
        return True

    def next_after_ns(self, after_ns: int) -> int | None:
        due_ns = after_ns + PERIOD_NS - after_ns % PERIOD_NS
        try:
            last_ns = int((HOME / "end").read_text())
        except FileNotFoundError:
            return due_ns
        return due_ns if due_ns <= last_ns else None


def tick() -> None:
    """End at once."""


def is_first(run: Run) -> bool:
    """Return whether this is an attempt at the first occurrence of all."""
    first = HOME / "first"
    due = str(to_ns(run.due_at, what="due_at"))
    try:
        with first.open("x") as file:
            file.write(due)
    except FileExistsError:
        return first.read_text() == due
    return True


def hold(run: Run) -> None:
    """Wait at the gate of this attempt, if this is the first occurrence of all; later ones end at once."""
    if not is_first(run):
        return
    with (HOME / f"gate-{run.attempt}").open("rb", buffering=0) as gate:
        gate.read(1)
    # The next step, whatever happened meanwhile: may it be taken?
    (HOME / f"saw-{run.attempt}").write_text(f"{run.cancelled} {run.cancel_reason}")


def bomb(run: Run) -> None:
    """Take the process down, if this is the first occurrence of all; later ones end at once."""
    if is_first(run):
        os.kill(os.getpid(), signal.SIGKILL)


def obey(run: Run) -> None:
    """Work until asked to stop."""
    while not run.wait("1h"):
        pass


scheduler = Scheduler(
    os.environ.get("FLEET_URL", f"sqlite:///{HOME / 'jobs.db'}"),
    service=os.environ.get("FLEET_SERVICE", "fleet"),
    labels={"region": REGION} if REGION else None,
    metrics="127.0.0.1:0",
    drain=os.environ["FLEET_DRAIN"],
    sinks={"teller": Teller()},
    clock=WrongClock() if AHEAD else None,
)
if AHEAD:
    signal.signal(signal.SIGUSR1, lambda *_: AHEAD.pop(0))
if "race" in JOBS:  # two jobs that share a resource
    for name in ("tick", "tock"):
        scheduler.add(tick, UntilToldToEnd(), name=name, resource="bell", ttl=TTL, misfire_grace="30s")
if "hold" in JOBS:
    scheduler.add(hold, every("200ms"), ttl=TTL)
if "deaf" in JOBS:  # its gate opens long after its timeout, and after its TTL
    scheduler.add(hold, every("200ms"), name="deaf", ttl=TTL, timeout="100ms")
if "bomb" in JOBS:
    scheduler.add(bomb, every("200ms"), ttl=TTL)
if "near" in JOBS:
    scheduler.add(tick, every("200ms"), name="near", ttl=TTL, prefer="region=a")
if "obey" in JOBS:
    scheduler.add(obey, every("200ms"), ttl=TTL)
if "beat" in JOBS:
    scheduler.add(tick, every("250ms"), name="beat", ttl=TTL, misfire_grace="15s")
    scheduler.add(tick, cron("* * * * * *"), name="chime", ttl=TTL, misfire_grace="15s")
