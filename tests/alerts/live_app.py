"""One scheduler for `make live`: `live_app.py SERVICE OWNER STORE KIND`; prints its port, runs until it is ended."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tickglass import Scheduler, every

__all__ = ["main"]


def fails() -> None:
    raise RuntimeError("on purpose")


def well() -> None:
    """Do nothing, well."""


def slow() -> None:
    threading.Event().wait(0.9)


def scheduler_of(service: str, owner: str, store: str, kind: str) -> Scheduler:
    workers = 1 if kind == "full" else 4
    spool = Path(f"{owner}.spool").absolute()
    scheduler = Scheduler(store, service=service, owner=owner, metrics="127.0.0.1:0", workers=workers, spool=spool)
    if kind == "full":
        for number in range(11):  # more than one worker can do
            scheduler.add(slow, every("1s"), name=f"job-{number}")
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
