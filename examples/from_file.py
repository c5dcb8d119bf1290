"""Jobs that are declared in a file, jobs.toml: here are the functions, there are triggers and policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tickglass import Scheduler
from tickglass.events import OccurrenceMoved

if TYPE_CHECKING:
    from tickglass import Run
    from tickglass.events import Event


def restock(run: Run, item: str, most: int = 7) -> None:
    """The run is given by the scheduler, the other arguments by the file."""
    print(f"{run.job}: up to {most} {item}")


class Failures:
    """An event sink: a line for each run that failed."""

    def record(self, event: Event) -> None:
        if isinstance(event, OccurrenceMoved) and event.outcome == "failure":
            print(f"{event.job} failed: {event.error}")


def main() -> None:
    scheduler = Scheduler("memory://", sinks={"failures": Failures()})
    scheduler.load(Path(__file__).with_name("jobs.toml"), targets=("from_file",))  # it may name no other module
    scheduler.run(longest="2s")


if __name__ == "__main__":
    main()
