"""Ask one run to stop: the engine's side of what the job sees as `run.cancelled`.

No I/O. The engine makes the signal before there is a run, so a stop that is asked
for while the claim is still being made is not lost.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import Wake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["StopSignal"]

_MAKING: Final = threading.Lock()  # of the parts of a signal that are made when they are first used


class StopSignal:
    """Whether, and why, one run has to stop. Any thread may ask; the first reason counts.

    Attributes:
        reason: why the run has to stop, a bounded word; "" while nothing has asked for a stop.
        over: whether the code of the run has returned. Threads and tasks that it left behind may still look.
    """

    __slots__ = ("_calls", "_wake", "over", "reason")

    def __init__(self) -> None:
        self.reason = ""
        self.over = False
        self._wake: Wake | None = None  # made for the first that waits: few runs wait
        self._calls: set[Callable[[], None]] | None = None

    @property
    def wake(self) -> Wake:
        """What rings when the run has to stop, and when it is over."""
        with _MAKING:
            if self._wake is None:
                self._wake = Wake()
        if self.reason or self.over:  # whoever asked may have found none to ring
            self._wake.ring()
        return self._wake

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
        with _MAKING:
            calls = self._calls = set() if self._calls is None else self._calls
        calls.add(call)
        if self.reason or self.over:
            call()
        try:
            yield
        finally:
            calls.discard(call)

    def _ring(self) -> None:
        if self._wake is not None:
            self._wake.ring()
        if self._calls is not None:
            for call in tuple(self._calls):
                call()
