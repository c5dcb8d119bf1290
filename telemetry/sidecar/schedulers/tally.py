"""Count how often a job of one scheduler failed, or was left out, over the last quarter of an hour and the last day.

Bounded: fifteen buckets of a minute, and 96 of a quarter of an hour. No I/O, no clock reads. Not thread-safe: the
caller holds a mutex.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.durations import SECOND
from tickglass.sched.occurrence import DID_NOT_RUN, FAILURES, Outcome, SkipReason
from tickglass.telemetry.sidecar.view import OutcomeShare

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WINDOWS_NS", "Tally", "summed"]

_MINUTE: Final = 60 * SECOND
_QUARTER: Final = 15 * _MINUTE
WINDOWS_NS: Final = (_QUARTER, 96 * _QUARTER)  # 15 min, 24 h


@dataclass(slots=True)
class _Bucket:
    slot: int
    runs: int = 0
    failed: int = 0
    due: int = 0
    left_out: int = 0


class _Ring:
    """The latest buckets of one width."""

    def __init__(self, step_ns: int, window_ns: int) -> None:
        self._step_ns, self._window_ns = step_ns, window_ns
        self._buckets: deque[_Bucket] = deque(maxlen=window_ns // step_ns)

    def add(self, wall_ns: int, outcome: str, count: int) -> None:
        slot = wall_ns // self._step_ns
        if not self._buckets or slot > self._buckets[-1].slot:  # a clock that was set back adds to the latest
            self._buckets.append(_Bucket(slot))
        bucket = self._buckets[-1]
        failed = outcome in FAILURES
        bucket.due += count
        bucket.failed += count * failed
        bucket.runs += count * (failed or outcome == Outcome.SUCCESS)
        bucket.left_out += count * (outcome in DID_NOT_RUN)

    def share(self, now_ns: int) -> OutcomeShare:
        first = (now_ns - self._window_ns) // self._step_ns
        recent = [bucket for bucket in self._buckets if bucket.slot > first]
        return OutcomeShare(
            window_ns=self._window_ns,
            runs=sum(bucket.runs for bucket in recent),
            failed=sum(bucket.failed for bucket in recent),
            due=sum(bucket.due for bucket in recent),
            left_out=sum(bucket.left_out for bucket in recent),
        )


class Tally:
    """What became of one job's due instants, those aside that another instance claimed or that were paused."""

    def __init__(self) -> None:
        short_ns, long_ns = WINDOWS_NS
        self._rings = _Ring(_MINUTE, short_ns), _Ring(_QUARTER, long_ns)

    def add(self, wall_ns: int, outcome: str, count: int = 1, *, reason: str = "") -> None:
        """Count due instants that ended then; those that an operator did not want run are not counted."""
        if outcome != Outcome.ELSEWHERE and reason != SkipReason.PAUSED:
            for ring in self._rings:
                ring.add(wall_ns, outcome, count)

    def shares(self, now_ns: int) -> tuple[OutcomeShare, ...]:
        """Return the counts over each of `WINDOWS_NS`."""
        return tuple(ring.share(now_ns) for ring in self._rings)


def summed(shares: Iterable[tuple[OutcomeShare, ...]]) -> list[OutcomeShare]:
    """Return the counts of several schedulers together, by window."""
    return [
        OutcomeShare(
            window_ns=window[0].window_ns,
            runs=sum(one.runs for one in window),
            failed=sum(one.failed for one in window),
            due=sum(one.due for one in window),
            left_out=sum(one.left_out for one in window),
        )
        for window in zip(*shares, strict=True)
    ]
