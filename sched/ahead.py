"""Decide whether an occurrence is asked for too early, by the clock of the store.

Pure: no I/O, no clock reads, no logging. An instance with a fast clock may claim an
instant that is still far off. A claim is kept for good, so it would take that instant, and
the job's place in time, from all other instances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickglass.sched.ports import ClaimAsk

__all__ = ["Ahead", "ahead_of"]


@dataclass(frozen=True, slots=True)
class Ahead:
    """The claim came too early, by the store's clock: ask again after `early_ns`. Nothing was written."""

    early_ns: int


def ahead_of(ask: ClaimAsk, now_ns: int) -> Ahead | None:
    """Return the refusal of a claim that comes too early; None if it does not.

    Args:
        now_ns: the store's wall clock, nanoseconds since the Unix epoch.
    """
    if ask.max_ahead_ns is None or ask.due_ns <= now_ns + ask.max_ahead_ns:
        return None
    return Ahead(ask.due_ns - ask.max_ahead_ns - now_ns)
