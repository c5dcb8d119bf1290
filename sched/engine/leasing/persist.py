"""Ask a store again while it does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tickglass.sched.clock import Wake
from tickglass.sched.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickglass.sched.clock import Clock
    from tickglass.sched.policies.backoff import Backoff

__all__ = ["persist"]

Answer = TypeVar("Answer")


def persist(ask: Callable[[], Answer], backoff: Backoff, clock: Clock) -> tuple[Answer, bool]:
    """Call `ask` until it answers, on the caller's thread.

    Returns:
        The answer, and whether it was asked for more than once: then an earlier request may have
        reached the store, and only its answer was lost.

    Raises:
        StoreUnavailable: no answer after the last pause either.
    """
    failures = 0
    while True:
        try:
            return ask(), failures > 0
        except StoreUnavailable:
            failures += 1
            if backoff.is_exhausted(failures):
                raise
        clock.wait(clock.monotonic_ns() + backoff.after(failures), Wake())
