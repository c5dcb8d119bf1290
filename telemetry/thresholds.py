"""Decide from which value on a board shows a problem and a rule alerts an operator.

Pure data, and the only place for it: boards change colour at these numbers and rules fire at them, so a red panel and
an alert mean the same. The limits that a job or a lock declares itself (timeout, grace, TTL, interval) are metrics, and
queries read them. Here is only which share of such a limit is too much.
"""

from __future__ import annotations

from typing import Final

from tickglass.sched.durations import SECOND
from tickglass.sched.occurrence import ON_TIME_NS

__all__ = [
    "BUDGET_FAST_BURN",
    "BUDGET_SLOW_BURN",
    "CLOCK_OFFSET_S",
    "EVENTS_MISSED_S",
    "FAILED_MIN",
    "FAILED_SHARE",
    "FAILURES_IN_A_ROW",
    "HELD_OF_LIMIT",
    "INTERVALS_WITHOUT_SUCCESS",
    "LATENESS_OF_GRACE",
    "LATE_MIN",
    "LATE_MIN_SLOW",
    "LATE_STARTS_MIN",
    "LEASE_ENDED_LATELY_S",
    "LEFT_OUT_MIN",
    "LEFT_OUT_SHARE",
    "NO_START_S",
    "ON_TIME_OBJECTIVE",
    "ON_TIME_S",
    "POOL_BUSY_SHARE",
    "PROBE_SILENT_S",
    "RENEWAL_AGE_OF_TTL",
    "REPLICA_GONE_S",
    "STORE_CALL_S",
    "STORE_ERRORS_MIN",
    "STORE_ERROR_SHARE",
    "STORE_OUTAGE_SHARE",
    "UNLIMITED_RUN_S",
    "WAITS_MIN",
    "WAIT_P95_S",
]

# --- locks --------------------------------------------------------------------

HELD_OF_LIMIT: Final = 1.0  # of the longest hold that a job may have: beyond it, the lock is stuck
RENEWAL_AGE_OF_TTL: Final = 0.5  # of the TTL: renewals are due at a third, so at least one has failed
LEASE_ENDED_LATELY_S: Final = 600.0  # seconds since a lease ended without a release: older ones do not alert
WAIT_P95_S: Final = 5.0  # seconds: from here on a wait delays the work noticeably
WAITS_MIN: Final = 10  # fewer waits say nothing about a percentile
STORE_ERROR_SHARE: Final = 0.05  # of the calls: a single failure now and then stays below

STORE_CALL_S: Final = 0.1  # seconds a call on average, while calls fail: the store hangs
STORE_ERRORS_MIN: Final = 10  # in 2 min: fewer may be a blip
STORE_OUTAGE_SHARE: Final = 0.25  # of the calls in 2 min: half a minute without an answer

# --- jobs ---------------------------------------------------------------------

ON_TIME_S: Final = ON_TIME_NS / SECOND  # after the due instant; a bucket of the lateness, so the share is exact
ON_TIME_OBJECTIVE: Final = 0.99  # of the occurrences that an instance had to start
BUDGET_FAST_BURN: Final = 14.4  # times the budget, over 1 h and 5 min: 2 % of a month's in an hour
BUDGET_SLOW_BURN: Final = 6.0  # times the budget, over 6 h and 30 min: 5 % of a month's in six hours
LATENESS_OF_GRACE: Final = 0.5  # of the misfire grace: twice as late, and runs are missed
LATE_STARTS_MIN: Final = 3  # fewer starts say nothing about their average
LATE_MIN: Final = 10  # due instants not on time in 1 h: fewer are no reason to wake a person
NO_START_S: Final = 60  # by an instance with a full pool: it hangs, and is told of before its jobs
LATE_MIN_SLOW: Final = 3  # in 30 min: fewer say nothing about a share
FAILURES_IN_A_ROW: Final = 2  # one failure may be chance, two are a pattern; this fits daily jobs too
FAILED_SHARE: Final = 0.25  # of the runs, over 15 min, a day or a week: a job may fail so often and not twice in a row
FAILED_MIN: Final = 2  # one failure may be chance
LEFT_OUT_SHARE: Final = 0.25  # of the due instants that an instance had to start: skipped or missed
LEFT_OUT_MIN: Final = 3  # fewer say nothing about a share
INTERVALS_WITHOUT_SUCCESS: Final = 2  # plus one timeout: enough for a failure and a slow success after it
UNLIMITED_RUN_S: Final = 86_400  # seconds: an older run of a job without a timeout is taken to hang

# --- Tickglass itself ----------------------------------------------------------

POOL_BUSY_SHARE: Final = 0.95  # of the workers, while occurrences wait for one
CLOCK_OFFSET_S: Final = 1.0  # seconds: the default of `Scheduler(max_skew=)`
PROBE_SILENT_S: Final = 60.0  # seconds since the sidecar last read a store
REPLICA_GONE_S: Final = 3_600.0  # seconds for which a replica that left a sidecar is missed: another may have its place
EVENTS_MISSED_S: Final = 600.0  # seconds for which missed events alert
