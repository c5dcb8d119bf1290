"""Decide how far an instant moves when jobs are to be spread.

Pure. The move is a hash of the job's name and the instant, so every instance
of a fleet, on any platform, moves the same occurrence to the same nanosecond.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from tickglass.sched.durations import MS, US, Duration, duration_ns, duration_text
from tickglass.sched.triggers.base import LATEST_NS, Trigger

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["Jittered", "with_jitter"]


class _Moved(NamedTuple):
    """An instant after its move, and the two of the base around it."""

    instant_ns: int
    next_base_ns: int | None


class Jittered(Trigger):
    """A trigger whose instants each move later by less than `jitter_ns`, and never as far as the next.

    Nor past `LATEST_NS`, where instants end.

    Moves are whole microseconds. Until it is bound to a job it moves as for a
    job with an empty name, which is good enough for a preview.
    """

    __slots__ = ("_base", "_jitter_ns", "_job_name", "_last")

    def __init__(self, base: Trigger, jitter_ns: int, job_name: str = "") -> None:
        self._base = base
        self._jitter_ns = jitter_ns
        self._job_name = job_name
        # The latest answer, so that asking for its successor costs one step of
        # the base. Replaced whole: a reader sees the old one or the new one.
        self._last: _Moved | None = None

    @property
    def fixed_rate(self) -> bool:
        """Whether the base is one."""
        return self._base.fixed_rate

    @property
    def zone(self) -> tzinfo:
        """The zone of the base."""
        return self._base.zone

    def bind(self, job_name: str) -> Trigger:
        """Return the trigger with the moves of that job."""
        return Jittered(self._base, self._jitter_ns, job_name)

    def next_after_ns(self, after_ns: int) -> int | None:
        """Return the first moved instant after `after_ns`."""
        last = self._last
        if last is not None and last.instant_ns == after_ns:
            return self._answer(last.next_base_ns)
        # Moved instants keep the order of the base, so of those that were due
        # already only the latest can still be to come.
        before = self._base.count_between(after_ns - self._jitter_ns, after_ns, limit=4).latest_ns
        if before is not None:
            moved = self._move(before)
            if moved.instant_ns > after_ns:
                self._last = moved
                return moved.instant_ns
        return self._answer(self._base.next_after_ns(after_ns))

    def interval_ns(self, after_ns: int) -> int | None:
        """Return the distance between the next two instants of the base: the rate, without the noise."""
        return self._base.interval_ns(after_ns)

    def _answer(self, base_ns: int | None) -> int | None:
        if base_ns is None:
            return None
        self._last = moved = self._move(base_ns)
        return moved.instant_ns

    def _move(self, base_ns: int) -> _Moved:
        following = self._base.next_after_ns(base_ns)
        room_ns = self._jitter_ns if following is None else min(self._jitter_ns, following - base_ns)
        room_ns = min(room_ns, LATEST_NS + 1 - base_ns)  # an instant that no store can hold would never come
        digest = blake2b(f"{self._job_name}\0{base_ns}".encode(), digest_size=8).digest()
        moved_us = int.from_bytes(digest, "big") % max(1, room_ns // US)
        return _Moved(base_ns + moved_us * US, following)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Jittered) and self._meaning() == other._meaning()

    def __hash__(self) -> int:
        return hash(self._meaning())

    def _meaning(self) -> tuple[Trigger, int, str]:
        return self._base, self._jitter_ns, self._job_name

    def __str__(self) -> str:
        return f'{str(self._base)[:-1]}, jitter="{duration_text(self._jitter_ns)}")'


def with_jitter(base: Trigger, jitter: Duration | None) -> Trigger:
    """Return the trigger, moved by `jitter` (at least 1 ms) if there is one."""
    return base if jitter is None else Jittered(base, duration_ns(jitter, what="jitter", min_ns=MS))
