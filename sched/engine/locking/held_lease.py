"""Show the holder of a lock what it holds, and for how long it can trust the lease.

A `HeldLease` is made when the lock is granted, and is good until that lock is released. The renewer renews the
lease behind it and reports when it is lost.
"""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

from tickglass.sched.clock import instant_of
from tickglass.sched.errors import LeaseLost
from tickglass.sched.lease import LockState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tickglass.sched.clock import Clock
    from tickglass.sched.engine.locking.loss_signal import LossSignal
    from tickglass.sched.lease import LockMachine

__all__ = ["HeldLease"]


class HeldLease:
    """A lease of a lock that a caller took, outside jobs.

    Attributes:
        resource: what it protects.
        fence: the fencing token; pass it with every guarded write.
    """

    def __init__(self, lock: LockMachine, clock: Clock, loss: LossSignal, check_trust: Callable[[], None]) -> None:
        self.resource = lock.resource
        self.fence = lock.fence
        self._lock = lock
        self._clock = clock
        self._loss = loss
        self._check_trust = check_trust  # has a loss reported that has happened and is not reported yet

    @property
    def trusted(self) -> bool:
        """Whether to act under it.

        True only while it is held and its trust lasts, by the monotonic clock: a
        process that was frozen sees False on waking, before the loss is reported.
        """
        return self._left_ns() > 0

    def remaining(self) -> float:
        """Return the seconds for which it can be trusted if no renewal succeeds; 0.0 when it cannot."""
        return self._left_ns() / 1e9

    @property
    def trusted_until(self) -> datetime:
        """When that is on the wall clock, aware, in UTC; the present when it cannot be trusted.

        For people and logs. Decide by `trusted`, which does not depend on the wall clock.
        """
        return instant_of(self._clock.wall_ns() + self._left_ns())

    def check(self) -> None:
        """Raise unless the lease can be trusted; write this line before each guarded step.

        Raises:
            LeaseLost: it cannot be trusted, or was released.
        """
        if not self.trusted:
            self._check_trust()
            raise LeaseLost(self.resource, self.fence)

    def on_lost(self, callback: Callable[[], object]) -> None:
        """Have `callback` called, once, when the lease is lost; never when it is released in time.

        It is called on a thread of its own, so it may take long; or here and now, if the lease has been
        lost already. An exception that it raises is logged.
        """
        self._loss.subscribe(partial(copy_context().run, callback))

    def report_stale_fence(self, newest: int) -> None:
        """Count a guarded write that was refused; the guards of `tickglass.fencing` call it, and your own shall."""
        self._lock.report_stale_fence(newest)

    def _left_ns(self) -> int:
        if self._lock.state is not LockState.HELD:
            return 0
        return max(0, self._lock.trusted_until_ns - self._clock.monotonic_ns())

    def __repr__(self) -> str:
        return f"<HeldLease {self.resource} fence {self.fence} trusted for {self.remaining():.3f} s>"
