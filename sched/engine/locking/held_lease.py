"""Show whoever took a lock by hand what he holds, and for how long it can be trusted.

Made when the lock is granted, and good for that one hold. The renewer renews the
lease behind it and says when it is lost.
"""

from __future__ import annotations

import logging
import threading
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Final

from tickglass.sched.clock import instant_of
from tickglass.sched.engine.foreign_errors import is_program_exit
from tickglass.sched.errors import LeaseLost
from tickglass.sched.lease import LockState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tickglass.sched.clock import Clock
    from tickglass.sched.lease import LockMachine

__all__ = ["HeldLease"]

_log: Final = logging.getLogger(__name__)


class HeldLease:
    """A lease taken by hand.

    Attributes:
        resource: what it protects.
        fence: the fencing token; pass it with every guarded write.
    """

    def __init__(self, lock: LockMachine, clock: Clock, find_out: Callable[[], None]) -> None:
        self.resource = lock.resource
        self.fence = lock.fence
        self._lock = lock
        self._clock = clock
        self._find_out = find_out  # has a loss reported that nobody could report yet
        self._mutex = threading.Lock()
        self._lost = False
        self._calls: list[Callable[[], object]] = []

    @property
    def trusted(self) -> bool:
        """Whether to act under it.

        True only while it is held and its trust lasts, by the monotonic clock: a
        process that was frozen sees False on waking, before anybody could tell it.
        """
        return self._left_ns() > 0

    def remaining(self) -> float:
        """Return the seconds for which it can be trusted if no renewal succeeds; 0.0 when it cannot."""
        return self._left_ns() / 1e9

    @property
    def trusted_until(self) -> datetime:
        """When that is on the wall clock, aware, in UTC; the present when it cannot be trusted.

        For people and logs. Decide by `trusted`, which no setting of the wall
        clock can deceive.
        """
        return instant_of(self._clock.wall_ns() + self._left_ns())

    def check(self) -> None:
        """Go on only under a lease that can be trusted; write this line before each guarded step.

        Raises:
            LeaseLost: it cannot, or was given back.
        """
        if not self.trusted:
            self._find_out()
            raise LeaseLost(self.resource, self.fence)

    def on_lost(self, callback: Callable[[], object]) -> None:
        """Have `callback` called, once, when the lease is lost; never when it is given back in time.

        It is called on a thread of its own, so it may take its time; or here
        and now, if the lease has been lost already. What it raises is logged.
        """
        call = partial(copy_context().run, callback)
        with self._mutex:
            if not self._lost:
                self._calls.append(call)
                return
        self._tell([call])

    def report_stale_fence(self, newest: int) -> None:
        """Count a guarded write that was refused; called by the guards of fencing.py, and by your own."""
        self._lock.report_stale_fence(newest)

    def _say_lost(self) -> None:
        """Tell those who asked to be told; the renewer's side. It must not be held up, so not on its thread."""
        with self._mutex:
            self._lost = True
            calls, self._calls = self._calls, []
        if calls:
            threading.Thread(target=self._tell, args=(calls,), name="tickglass-lost", daemon=True).start()

    def _tell(self, calls: list[Callable[[], object]]) -> None:
        for call in calls:
            try:
                call()
            except BaseException as error:  # foreign code; reported, and the others are still told
                if is_program_exit(error):
                    raise
                _log.exception("a callback for the loss of %s raised", self.resource)

    def _left_ns(self) -> int:
        if self._lock.state is not LockState.HELD:
            return 0
        return max(0, self._lock.trusted_until_ns - self._clock.monotonic_ns())

    def __repr__(self) -> str:
        return f"<HeldLease {self.resource} fence {self.fence} trusted for {self.remaining():.3f} s>"
