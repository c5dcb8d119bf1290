"""What the schedulers of the boards' fleet run: `tickglass run app:scheduler`, configured by FLEET_*.

Everything that a board can show happens here, again and again: contention, waits that are given up, failures, timeouts,
stale writes, clock steps. Losses and outages are done to it from outside.
"""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from typing import Final

from tickglass import Run, Scheduler, every
from tickglass.sched.errors import StaleFence, TickglassError
from tickglass.sched.events import ClockStepped
from tickglass.sched.fencing import refuse

SHARED: Final = "ledger"

scheduler = Scheduler(
    os.environ["FLEET_STORE"],
    service=os.environ["FLEET_SERVICE"],
    owner=os.environ["FLEET_OWNER"],
    metrics=os.environ["FLEET_METRICS"],
    spool=os.environ["FLEET_SPOOL"],
    workers=4,
    metrics_detail="compact" if os.environ["FLEET_DETAIL"] == "compact" else "full",
)


def tick() -> None:
    """End at once."""


async def blink() -> None:
    """End at once, on the event loop."""


def post(run: Run) -> None:
    """Hold the ledger for a while; so does `audit`, and one of them waits."""
    run.wait("120ms")


def audit(run: Run) -> None:
    """Hold the ledger for a while, act as an operator does, and report a step of the clock."""
    run.wait("120ms")
    gc.collect()
    with scheduler.control(by="the auditor") as control:
        control.pause("guard", reason=run.run_id, for_="1ms")
    assert scheduler._live is not None
    scheduler._live.engine._context.sink.record(ClockStepped(step_ns=1, wall_ns=0))


def fail() -> None:
    """Fail each time."""
    raise ValueError("as it should")


def overrun(run: Run) -> None:
    """Run until it is asked to stop."""
    while not run.wait("1h"):
        pass


def guard(run: Run) -> None:
    """Write as a stale holder would, and be refused."""
    with suppress(StaleFence):
        refuse(run, run.fence + 1)


def keep(run: Run) -> None:
    """Hold its lock for good."""
    while not run.wait("1h"):
        pass


def beg() -> None:
    """Wait for a lock that is held, and give up."""
    with suppress(TickglassError), scheduler.lock("keep", wait="300ms"):
        pass


if os.environ["FLEET_SERVICE"] == "billing":
    scheduler.add(tick, every("100ms"))
    scheduler.add(blink, every("400ms"))
    scheduler.add(post, every("400ms"), resource=SHARED, timeout="5s")
    scheduler.add(audit, every("400ms"), resource=SHARED, timeout="5s")
    scheduler.add(fail, every("300ms"), on_outage="run")
    scheduler.add(overrun, every("1s"), timeout="200ms")
    scheduler.add(guard, every("500ms"))
    scheduler.add(keep, every("1s"), resource="keep", ttl="1500ms", timeout="1h")
    scheduler.add(beg, every("500ms"))
else:
    scheduler.add(tick, every("200ms"), name="mail")
