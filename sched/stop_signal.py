"""Ask one run to stop: the engine's side of what the job sees as `run.cancelled`.

No I/O. The engine makes the signal before there is a run, so a stop that is asked
for while the claim is still being made is not lost.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tickglass.sched.clock import Wake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["StopSignal"]


class StopSignal:
    """Whether, and why, one run has to stop. Any thread may ask; the first reason counts.

    Attributes:
        reason: why the run has to stop, a bounded word; "" while nothing has asked for a stop.
        over: whether the code of the run has returned. Threads and tasks that it left behind may still look.
        wake: rings when the run has to stop, and when it is over.
    """

    __slots__ = ("_calls", "over", "reason", "wake")

    def __init__(self) -> None:
        self.reason = ""
        self.over = False
        self.wake = Wake()
        self._calls: set[Callable[[], None]] = set()

    def ask(self, reason: str) -> None:
        """Ask the run to stop; a second call wakes it again and leaves the reason as it is."""
        self.reason = self.reason or reason
        self._ring()

    def end(self) -> None:
        """Note that the code has returned: nothing that it left behind may act under this run any more."""
        self.over = True
        self._ring()

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Within this block, call when the run is asked to stop or ends; at once if that has happened already."""
        self._calls.add(call)
        if self.reason or self.over:
            call()
        try:
            yield
        finally:
            self._calls.discard(call)

    def _ring(self) -> None:
        self.wake.ring()
        for call in tuple(self._calls):
            call()
