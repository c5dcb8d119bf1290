"""One scheduler for `make live`: `live_app.py SERVICE OWNER STORE KIND`; prints its port, runs until it is ended."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tickglass import Scheduler, every
from tickglass.sched.clock import SystemClock
from tickglass.sched.durations import SECOND
from tickglass.sched.triggers.base import Trigger

__all__ = ["main"]

ENDS_AFTER_NS = 90 * SECOND  # when it has been scraped for a while


def fails() -> None:
    raise RuntimeError("on purpose")


def well() -> None:
    """Do nothing, well."""


def slow() -> None:
    threading.Event().wait(0.9)


class Ending(Trigger):
    """Every five seconds until an instant, and then never again."""

    def __init__(self, until_ns: int) -> None:
        self._until_ns = until_ns

    def next_after_ns(self, after_ns: int) -> int | None:
        """See `Trigger`."""
        found = after_ns - after_ns % (5 * SECOND) + 5 * SECOND
        return found if found <= self._until_ns else None

    def __str__(self) -> str:
        return f"every 5 s until {self._until_ns}"


def scheduler_of(service: str, owner: str, store: str, kind: str) -> Scheduler:
    workers = 1 if kind == "full" else 4
    spool = Path(f"{owner}.spool").absolute()
    scheduler = Scheduler(store, service=service, owner=owner, metrics="127.0.0.1:0", workers=workers, spool=spool)
    if kind == "full":
        for number in range(11):  # more than one worker can do
            scheduler.add(slow, every("1s"), name=f"job-{number}")
        return scheduler
    if kind == "ends":
        scheduler.add(well, Ending(SystemClock().wall_ns() + ENDS_AFTER_NS), name="ends")
        return scheduler
    for interval in ("100ms", "1s", "1m"):
        scheduler.add(well, every(interval), name=f"{service}-{interval}")
    scheduler.add(fails if kind == "fails" else well, every("5s"), name="sync", resource=f"{service}:sync")
    return scheduler


def main(arguments: list[str]) -> None:
    scheduler = scheduler_of(*arguments)
    with scheduler:
        sys.stdout.write(f"{scheduler.metrics_port}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
