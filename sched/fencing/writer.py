"""Say what a writer under a fence is, and refuse a stale one: for all guards here, and for guards of your own."""

from __future__ import annotations

from typing import NoReturn, Protocol

from tickglass.sched.errors import StaleFence

__all__ = [
    "Fenced",
    "demand_fence",
    "refuse",
]


class Fenced(Protocol):
    """A writer under a fence: a `Run`, or a `HeldLease`."""

    @property
    def resource(self) -> str:
        """What the fence was granted on."""
        ...

    @property
    def fence(self) -> int:
        """The fencing token."""
        ...

    def report_stale_fence(self, newest: int) -> None:
        """Report that a write was refused, because `newest` had been seen; never raises."""
        ...


def refuse(writer: Fenced, newest: int) -> NoReturn:
    """Count a refusal and raise it: the last line of every guard, and of your own.

    Raises:
        StaleFence: always.
    """
    writer.report_stale_fence(newest)
    raise StaleFence(writer.resource, writer.fence, newest)


def demand_fence(writer: Fenced) -> None:
    """Refuse a writer that was granted no fence: the first line of every guard, and of your own.

    Fences begin at 1. Where no fence was recorded yet, 0 would pass for the first one.

    Raises:
        StaleFence: the writer's is 0.
    """
    if writer.fence <= 0:
        refuse(writer, 0)
