"""Your own sink sees every event of the core: here, a line for every run that did not happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass import Scheduler, every
from tickglass.events import InstantsMissed, InstantsSkipped, OccurrenceMoved

if TYPE_CHECKING:
    from tickglass import Run
    from tickglass.events import Event


class DidNotRun:
    """An event sink: one method, called for every event, in order. It may raise; nobody else is hurt."""

    def record(self, event: Event) -> None:
        if isinstance(event, OccurrenceMoved) and event.outcome in ("skipped", "missed"):
            print(f"{event.job} did not run: {event.outcome} {event.reason}")
        elif isinstance(event, InstantsSkipped):  # beside a run in progress; told at its end, and once a second
            print(f"{event.job} did not run: skipped {event.reason}, {event.count} times")
        elif isinstance(event, InstantsMissed):
            print(f"{event.job} missed {event.count} instants")


scheduler = Scheduler("memory://", sinks={"did-not-run": DidNotRun()})


@scheduler.job(every("100ms"), misfire_grace="1s")
def slower_than_its_interval(run: Run) -> None:
    run.wait("250ms")


if __name__ == "__main__":
    scheduler.run(longest="1s")
