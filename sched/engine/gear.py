"""What every loop of the engine works with."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import EventSink, RunTracer, Store, TracedRun

__all__ = ["Gear", "NoTracer"]


@dataclass(frozen=True, slots=True)
class Gear:
    """The ports, and who we are.

    Args:
        sink: never raises.
        owner: stable name of this instance.
    """

    clock: Clock
    store: Store
    sink: EventSink
    tracer: RunTracer
    owner: str
    service: str


class NoTracer:
    """A `RunTracer` that opens no spans."""

    def begin(self, run: TracedRun) -> bool:  # noqa: ARG002 - the port's signature
        """See `RunTracer`."""
        return False

    def activate(self, run_id: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the port's signature
        """See `RunTracer`."""
        return nullcontext()
