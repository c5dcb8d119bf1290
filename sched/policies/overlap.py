"""Decide what becomes of an occurrence whose job still runs, in this instance or in another one.

Pure: no I/O, no clock reads.
"""

from __future__ import annotations

from tickglass.sched.occurrence import SkipReason
from tickglass.sched.policies.verdict import Decline, Defer

__all__ = ["while_running"]


def while_running(late_ns: int) -> Defer | Decline:
    """Skip an occurrence that is due while its job still runs.

    Before the due instant it is no overlap: the run may end by then.

    Args:
        late_ns: how long ago it was due; negative before that.
    """
    return Defer() if late_ns < 0 else Decline(SkipReason.OVERLAP)
