"""Say how the span of a run is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = [
    "RunTracer",
    "TracedRun",
]


@dataclass(frozen=True, slots=True)
class TracedRun:
    """What is known of a run when its root span begins.

    Args:
        run_id: 32 hexadecimal digits: the trace id.
        began_wall_ns: when a worker took it, before the claim.
        previous_run_id: the attempt whose claimant died, "" for the first.
    """

    run_id: str
    job: str
    trigger: str
    resource: str
    due_ns: int
    attempt: int
    fence: int
    owner: str
    service: str
    began_wall_ns: int
    previous_run_id: str


class RunTracer(Protocol):
    """Opens the root span of a run and makes it current around the job's code.

    The span is ended by the run's ENDED event, which the same object records.
    """

    def begin(self, run: TracedRun) -> bool:
        """Open the root span; return whether it is sampled. Never raises."""
        ...

    def activate(self, run_id: str) -> AbstractContextManager[object]:
        """Make that span current in the calling thread or task; `nullcontext` if there is nothing to make current."""
        ...
