"""Say when a run started and ended, by the store's clock.

Pure. An instance's wall clock may be wrong, and its report may come late, because an outcome
waits in the spool while the store is away. But the durations that it measured with its
monotonic clock are right. So the start is the instant of the claim, which the store wrote down,
plus the time from there to the start; the end is the start plus the time that the run took.
`redis/settle.lua` does the same for Redis and Redlock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickglass.sched.ports import Settlement

__all__ = ["run_times_ns"]


def run_times_ns(settlement: Settlement, claimed_wall_ns: int, now_wall_ns: int) -> tuple[int | None, int]:
    """Return when the run started, None if it never did, and when it ended.

    Args:
        claimed_wall_ns: when this attempt was claimed, by the store's clock.
        now_wall_ns: the store's clock: nothing has ended later than this.
    """
    started_ns, ran_ns = settlement.started_wall_ns, settlement.ran_ns
    if started_ns is None or ran_ns is None:  # None: an older version put it into the spool
        return started_ns, now_wall_ns
    if settlement.started_after_ns is not None:
        started_ns = claimed_wall_ns + settlement.started_after_ns
    started_ns = min(started_ns, now_wall_ns - ran_ns)
    return started_ns, started_ns + ran_ns
