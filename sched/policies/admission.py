"""Decide whether a due instant is admitted: run, decided later, skipped, or left to the ledger as too late.

Pure: no I/O, no clock reads. The claim decides afterwards which instance runs it.
"""

from __future__ import annotations

import msgspec

from tickglass.sched.occurrence import SkipReason
from tickglass.sched.policies import misfire, overlap
from tickglass.sched.policies.verdict import Admit, Decline, Defer, TooLate, Verdict

__all__ = ["Situation", "admit"]


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a due instant when the timeline visits it.

    Args:
        late_ns: how long ago it was due; negative before that.
        grace_ns: how late it may start.
        busy: whether an occurrence of the job has not ended in this instance.
        skewed: whether this instance's clock is too far from the store's to start anything.
        superseded: whether a later instant of the job has passed as well, and is run instead.
        rerun: whether an earlier claimant died.
        paused: whether an operator does not want it run here.
    """

    late_ns: int
    grace_ns: int
    busy: bool
    skewed: bool
    superseded: bool = False
    rerun: bool = False
    paused: bool = False


def admit(it: Situation) -> Verdict:
    """Return what becomes of a due instant.

    The order matters: an instant that is too late may have been run by another instance, so it is not
    reported as skipped. A rerun that cannot start now is never given up: its claim stays open.
    """
    if it.rerun:
        return Defer() if it.late_ns < 0 or it.busy or it.skewed or it.paused else Admit()
    if it.superseded or misfire.is_too_late(it.late_ns, it.grace_ns):
        return TooLate()
    if it.paused:
        return Decline(SkipReason.PAUSED)
    if it.busy:
        return overlap.while_running(it.late_ns)
    return Decline(SkipReason.SKEW) if it.skewed else Admit()
