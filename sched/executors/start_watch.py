"""Give up calls that do not start in time, with one timer for all of them.

Calls nearly always start in time, so a timer of each would be set in vain. The one timer is set for the earliest
instant; when it comes, it is set again if any call has still not started.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["StartWatch"]

_NEVER_NS: Final = 2**63 - 1


class StartWatch:
    """The calls that have not started; from any thread.

    Args:
        at: sets a timer: calls at a monotonic instant, or at once when it has passed.
    """

    def __init__(self, at: Callable[[int, Callable[[], None]], object]) -> None:
        self._at = at
        self._unstarted: dict[Hashable, tuple[int, Callable[[], None]]] = {}
        self._mutex = threading.Lock()  # of the timer
        self._set_for_ns = _NEVER_NS

    @property
    def idle(self) -> bool:
        """Whether all calls have started."""
        return not self._unstarted

    def expect(self, call: Hashable, by_ns: int, give_up: Callable[[], None]) -> None:
        """Call `give_up` unless `started` is told of this call before a monotonic instant."""
        self._unstarted[call] = (by_ns, give_up)
        if by_ns < self._set_for_ns:  # otherwise the timer finds the call
            self._set_timer(by_ns)

    def started(self, call: Hashable) -> None:
        """Expect it no longer; a call that was given up, or never expected, is none of its business."""
        self._unstarted.pop(call, None)

    def _set_timer(self, at_ns: int) -> None:
        with self._mutex:
            if at_ns >= self._set_for_ns:
                return
            self._set_for_ns = at_ns
        self._at(at_ns, lambda: self._look(at_ns))

    def _look(self, now_ns: int) -> None:
        """On the timers' thread, at the instant for which a timer was set."""
        with self._mutex:
            if now_ns != self._set_for_ns:
                return  # an earlier one was set after it, and has looked
            self._set_for_ns = _NEVER_NS
        next_ns = _NEVER_NS
        for call, (by_ns, give_up) in list(self._unstarted.items()):
            if by_ns > now_ns:
                next_ns = min(next_ns, by_ns)
            elif self._unstarted.pop(call, None) is not None:
                give_up()
        if next_ns < _NEVER_NS:
            self._set_timer(next_ns)
