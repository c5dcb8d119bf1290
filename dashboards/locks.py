"""The board of the locks: who holds which lock, since when, who waits, and which run was slow. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.leases import lease_panels, store_panels
from tickglass.dashboards.model import GOOD, Board, Column, Kind, Panel, Query, Row, Step, ValueMapping, above
from tickglass.dashboards.scope import RATE, SPAN
from tickglass.dashboards.shared_panels import SOME_TOGETHER, TO_LOCK, TOGETHER, quantiles, stuck_locks, waits
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.label_values import AttemptStatus, ReleaseReason
from tickglass.telemetry.queries.locks import by_holder, held_of_limit, left_of_lease
from tickglass.telemetry.queries.selector import on

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope

__all__ = ["locks"]

_ATTEMPTS = (
    (AttemptStatus.ACQUIRED, GOOD),
    (AttemptStatus.CONTENDED, "blue"),
    (AttemptStatus.FAILED, "red"),
)
_ENDS = ((ReleaseReason.RELEASED, GOOD), (ReleaseReason.EXPIRED, "orange"), (ReleaseReason.LOST, "red"))
_SOME_WAIT = (Step(None, GOOD), Step(1, "orange"))
_HALF_LIMIT = thresholds.HELD_OF_LIMIT / 2


def locks(scope: BoardScope) -> Board:
    """Return the board."""
    return Board(
        "tickglass-locks",
        "Tickglass / Locks",
        "Who holds which lock, since when, who waits, and which run was slow?",
        (
            Row("Now", (*_counts(scope), _holders(scope), _timeline(scope), waits(scope, 12))),
            Row("Waiting", (_wait_map(scope), _wait_quantiles(scope), _attempts(scope), _failures(scope))),
            Row("Holding", (_hold_map(scope), _hold_quantiles(scope), _ends(scope), _edges(scope))),
            Row("Leases", (*lease_panels(scope), _untaken(scope))),
            Row("The store", store_panels(scope)),
        ),
    )


def _counts(scope: BoardScope) -> tuple[Panel, ...]:
    def count(title: str, description: str, expr: str, steps: tuple[Step, ...] = above(1)) -> Panel:
        return Panel(
            Kind.STAT, title, description, "short", (Query(expr, title),), width=4, height=4, no_value="0", steps=steps
        )

    held = scope.max_by(catalogue.LOCK_HELD, *scope.by_resource)
    lost = scope.increase_by(catalogue.LOCK_RELEASES, window=SPAN, reason="=~lost|expired")
    return (
        count("Held", "Locks that are held now. No number of them is bad.", f"count({held}) or vector(0)", ()),
        count(
            "Waiting",
            "How many wait for a lock now. Orange: some wait, which is bad only if it lasts.",
            scope.sum_by(catalogue.LOCK_WAITERS),
            _SOME_WAIT,
        ),
        stuck_locks(scope, 4),
        count(
            "Leases lost",
            "Holds whose lease was lost before the holder released it, over the time that is shown. Red: runs were "
            "stopped half-way because renewals failed, or because the process stood still for longer than the TTL.",
            f"ceil({lost})",
        ),
        count(
            "Leases abandoned",
            "Leases that had ended without a release when the next holder took the lock, over the time that is "
            "shown. Red: a holder died or froze.",
            f"ceil({scope.increase_by(catalogue.LOCK_EXPIRATIONS, window=SPAN)})",
        ),
        count(
            "Stale writes refused",
            "Guarded writes under an old fence, over the time that is shown. Red: a holder went on writing after "
            "another one had got the lock. The guard refused the write, so it did no harm.",
            f"ceil({scope.increase_by(catalogue.FENCING_REJECTIONS, window=SPAN)})",
        ),
    )


def _holders(scope: BoardScope) -> Panel:
    held = scope.max_by(catalogue.LOCK_HELD, *by_holder(scope))
    age = scope.series(catalogue.LOCK_HELD)
    since = f"min by ({', '.join(by_holder(scope))}) (timestamp({age}) - {age})"
    waiters = scope.sum_by(catalogue.LOCK_WAITERS, *scope.by_resource)
    any_holder = f"and {on(scope.by_resource)} {held}"
    return Panel(
        Kind.TABLE,
        "Holders",
        "One line for each lock and holder. Two holders of one lock: one of them stood still while its lease ran "
        "out, and has not noticed yet. A full bar: the lock is stuck. A negative time left of the "
        "lease: it is not renewed, and the next instance that asks gets the lock.",
        "short",
        (
            Query(held, column=Column("Held for", "s")),
            Query(f"{since} * 1000", column=Column("Since", "dateTimeAsIso")),
            Query(
                f"{held_of_limit(scope)}",
                column=Column("Of the limit", "percentunit", above(_HALF_LIMIT, thresholds.HELD_OF_LIMIT), gauge=True),
            ),
            Query(f"({waiters}) {any_holder}", column=Column("Waiting", steps=_SOME_WAIT)),
            Query(f"({left_of_lease(scope)}) {any_holder}", column=Column("Left of the lease", "s")),
        ),
        width=24,
        height=9,
        no_value="-",
        steps=above(thresholds.HELD_OF_LIMIT),
        keys=(("resource", "Lock"), ("owner", "Owner"), ("service", "Service")),
        sort_by="Held for",
        link=TO_LOCK,
    )


def _timeline(scope: BoardScope) -> Panel:
    held = scope.max_by(catalogue.LOCK_HELD, *by_holder(scope))
    of_service = (*scope.by_resource, "service")
    limit = scope.max_by(catalogue.LOCK_MAX_HOLD, *of_service)
    return Panel(
        Kind.STATE_TIMELINE,
        "Holders over time",
        "Which owner held which lock, and when. Two lines of one lock at the same time: see above. Red: the lock was "
        "held for longer than its limit. A hold between two scrapes does not appear here; the counters further down "
        "include it.",
        "short",
        (
            Query(
                f"1 + ({held} > bool {on(of_service)} group_left () ({thresholds.HELD_OF_LIMIT:g} * {limit})) or 1 + 0 "
                f"* {held}",
                "{{resource}}: {{owner}}",
            ),
        ),
        width=12,
        no_value="all are free",
        steps=above(1 + thresholds.HELD_OF_LIMIT),
        mappings=(ValueMapping(1, "held", "blue"), ValueMapping(2, "stuck", "red")),
        link=TO_LOCK,
    )


def _untaken(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TABLE,
        "Ended leases whose lock is still free",
        "Leases that ended without a release, by their last owner, as a sidecar finds them in the store. Here for "
        "long: the holder died or froze, and no other instance has asked for the lock since.",
        "s",
        (Query(scope.max_by(catalogue.LEASE_EXPIRED, *by_holder(scope)), column=Column("Ended", "s", above(1))),),
        width=24,
        height=6,
        no_value="none",
        keys=(("resource", "Lock"), ("owner", "Owner"), ("service", "Service")),
        sort_by="Ended",
        steps=above(1),
        link=TO_LOCK,
        sidecar=True,
    )


def _wait_map(scope: BoardScope) -> Panel:
    return Panel(
        Kind.HEATMAP,
        "Waits",
        "How long attempts waited, whether or not they got the lock. A band that climbs: the lock is becoming a "
        "bottleneck. The dots are exemplars: each leads to the trace of the run that waited.",
        "s",
        (Query(scope.buckets(catalogue.LOCK_WAIT), "{{le}}", exemplar=True),),
        width=12,
        no_value="no waits",
    )


def _wait_quantiles(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long a wait takes",
        "Quantiles of the waits. Above the line: waits delay the work noticeably. See which run holds the lock, and "
        "for how long.",
        "s",
        quantiles(scope, catalogue.LOCK_WAIT, exemplar=True),
        width=12,
        no_value="no waits",
        steps=above(thresholds.WAIT_P95_S),
    )


def _attempts(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Attempts",
        "Attempts to take a lock per second, by how they ended. Contended is no failure: in a fleet only one instance "
        "gets each lock. Failed: the store did not say whether the lock is free, or the wait was given up.",
        "ops",
        (Query(scope.rate_by(catalogue.LOCK_ATTEMPTS, "status", window=RATE), "{{status}}"),),
        width=12,
        no_value="none",
        stacked=True,
        colours=_ATTEMPTS,
    )


def _failures(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Attempts that failed",
        "By reason. Timeout: the wait was given up. Store reasons: see the row of the store below. Cancelled: the "
        "waiter was asked to stop.",
        "ops",
        (Query(scope.rate_by(catalogue.LOCK_FAILURES, "reason", window=RATE), "{{reason}}"),),
        width=12,
        no_value="none",
        stacked=True,
    )


def _hold_map(scope: BoardScope) -> Panel:
    return Panel(
        Kind.HEATMAP,
        "Holds",
        "How long locks were held, counted when the hold ended. A hold that has not ended is only in the table "
        f"above. The dots are exemplars: each leads to the trace of the run that held the lock. {TOGETHER}",
        "s",
        (Query(scope.buckets(catalogue.LOCK_HOLD), "{{le}}", exemplar=True),),
        width=12,
        no_value="nothing was held",
    )


def _hold_quantiles(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long a hold takes",
        "Quantiles of the holds that ended. Climbing: work under the lock takes longer, and so do the waits for it. "
        f"{TOGETHER}",
        "s",
        quantiles(scope, catalogue.LOCK_HOLD, exemplar=True),
        width=12,
        no_value="nothing was held",
    )


def _ends(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How holds ended",
        "Released is normal. Expired: the holder's trust in its lease ended before a renewal was confirmed. Lost: the "
        f"store said that the lease is no longer the holder's. Both stop the run. {SOME_TOGETHER}",
        "ops",
        (Query(scope.rate_by(catalogue.LOCK_RELEASES, "reason", window=RATE), "{{reason}}"),),
        width=12,
        no_value="none",
        stacked=True,
        colours=_ENDS,
    )


def _edges(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Transitions of the state machine",
        "Every transition of every lock. Requests without as many grants and refusals: the store hangs. Grants "
        f"without releases: holders die. {TOGETHER}",
        "ops",
        (Query(scope.rate_by(catalogue.LOCK_TRANSITIONS, "event", window=RATE), "{{event}}"),),
        width=12,
        no_value="none",
    )
