"""Decide from which value on something is worth a look, and from which on somebody is woken.

Pure data, and the only place for it: boards colour by these numbers and rules fire by them, so a red panel and a page
mean the same. A limit that a job or a lock declares itself (timeout, grace, TTL, interval) is a metric, and stands in
the query; here is only what part of it is too much.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BUDGET_FAST_BURN",
    "BUDGET_SLOW_BURN",
    "CLOCK_OFFSET_S",
    "DUE_MIN",
    "EVENTS_MISSED_S",
    "FAILURES_IN_A_ROW",
    "HELD_OF_LIMIT",
    "INTERVALS_WITHOUT_SUCCESS",
    "LATENESS_OF_GRACE",
    "LATE_STARTS_MIN",
    "LEASE_ENDED_LATELY_S",
    "ON_TIME_OBJECTIVE",
    "ON_TIME_S",
    "POOL_BUSY_SHARE",
    "PROBE_SILENT_S",
    "RENEWAL_AGE_OF_TTL",
    "STORE_ERROR_SHARE",
    "UNLIMITED_RUN_S",
    "WAITS_MIN",
    "WAIT_P95_S",
]

# --- locks --------------------------------------------------------------------

HELD_OF_LIMIT: Final = 1.0  # of the longest that a job may hold the lock: beyond, it is stuck
RENEWAL_AGE_OF_TTL: Final = 0.5  # of the TTL: renewals are due at a third, so one at least has failed
LEASE_ENDED_LATELY_S: Final = 600.0  # seconds since it ended unreleased: news for so long, then a thing of the past
WAIT_P95_S: Final = 5.0  # seconds: from here on a wait is felt
WAITS_MIN: Final = 10  # fewer waits say nothing about a percentile
STORE_ERROR_SHARE: Final = 0.05  # of the calls: more than the odd blip

# --- jobs ---------------------------------------------------------------------

ON_TIME_S: Final = 0.008  # seconds after the due instant: the promise; a bucket of the lateness, so the share is exact
ON_TIME_OBJECTIVE: Final = 0.99  # of the occurrences that somebody had to start
BUDGET_FAST_BURN: Final = 14.4  # times the budget, over 1 h and 5 min: 2 % of a month's in an hour
BUDGET_SLOW_BURN: Final = 6.0  # times the budget, over 6 h and 30 min: 5 % of a month's in six hours
LATENESS_OF_GRACE: Final = 0.5  # of the misfire grace: half-way to a missed run
LATE_STARTS_MIN: Final = 3  # one late start is an accident
DUE_MIN: Final = 10  # fewer due instants say nothing about a share of them
FAILURES_IN_A_ROW: Final = 2  # one failure is the job's own affair, two are a pattern; works for daily jobs, too
INTERVALS_WITHOUT_SUCCESS: Final = 2  # and one timeout: a failure and a slow retry still fit in
UNLIMITED_RUN_S: Final = 86_400  # seconds: a run without a timeout that is older is taken for one that hangs

# --- the machinery ------------------------------------------------------------

POOL_BUSY_SHARE: Final = 0.95  # of the workers, with work waiting
CLOCK_OFFSET_S: Final = 1.0  # seconds: the default of `Scheduler(max_skew=)`
PROBE_SILENT_S: Final = 60.0  # seconds since the sidecar last read a store
EVENTS_MISSED_S: Final = 600.0  # seconds for which events that never arrived are worth a look
