"""What all rooms of the engine share: the ports, and which instance this is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tickglass.sched.identity import JobId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tickglass.sched.clock import Clock
    from tickglass.sched.ports import EventSink, RunTracer, Spool, SpooledOutcome, Store, TracedRun

__all__ = ["EngineContext", "NoSpool", "NoTracer"]


class NoSpool:
    """A `Spool` that holds nothing: every outcome is dropped, and counted as dropped."""

    def put(self, outcome: SpooledOutcome) -> bool:  # noqa: ARG002 - the port's signature
        """See `Spool`."""
        return False

    def oldest(
        self,
        limit: int,  # noqa: ARG002 - the port's signature
        *,
        after: int = 0,  # noqa: ARG002 - the port's signature
    ) -> Sequence[tuple[int, SpooledOutcome | None]]:
        """See `Spool`."""
        return ()

    def drop(self, number: int) -> None:
        """See `Spool`."""

    def depth(self) -> int:
        """See `Spool`."""
        return 0

    def close(self) -> None:
        """See `Spool`."""


@dataclass(frozen=True, slots=True)
class EngineContext:
    """The ports, and which instance this is.

    Args:
        sink: never raises.
        owner: stable name of this instance.
        version: of Tickglass, as other instances are shown it.
    """

    clock: Clock
    store: Store
    sink: EventSink
    tracer: RunTracer
    owner: str
    service: str
    spool: Spool = field(default_factory=NoSpool)
    version: str = ""

    def job_id(self, name: str) -> JobId:
        """Return the identity of a job of this instance's service."""
        return JobId(self.service, name)


class NoTracer:
    """A `RunTracer` that opens no spans."""

    def begin(self, run: TracedRun) -> bool:  # noqa: ARG002 - the port's signature
        """See `RunTracer`."""
        return False

    def activate(self, run_id: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the port's signature
        """See `RunTracer`."""
        return nullcontext()
