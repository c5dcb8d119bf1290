"""The board of the locks: who holds what, since when, who waits, and which run was slow. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.dashboards.leases import lease_panels, store_panels
from tickglass.dashboards.model import GOOD, Board, Column, Kind, Panel, Query, Row, Step, ValueMapping, above
from tickglass.dashboards.scope import RATE, SPAN
from tickglass.dashboards.shared_panels import TO_LOCK, quantiles, stuck_locks, waits
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.label_values import AttemptStatus, ReleaseReason
from tickglass.telemetry.queries.locks import held_of_limit

if TYPE_CHECKING:
    from tickglass.dashboards.scope import BoardScope

__all__ = ["locks"]

_HOLDER = ("resource", "owner", "service")
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
        "Who holds what, since when, who waits, and which run was slow?",
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

    held = scope.max_by(catalogue.LOCK_HELD, "resource")
    lost = scope.increase_by(catalogue.LOCK_RELEASES, window=SPAN, reason="=~lost|expired")
    return (
        count("Held", "Locks that somebody holds now; no number of them is bad.", f"count({held}) or vector(0)", ()),
        count(
            "Waiting",
            "Parties that wait for a lock now. Orange: somebody waits, which is bad only if it lasts.",
            scope.sum_by(catalogue.LOCK_WAITERS),
            _SOME_WAIT,
        ),
        stuck_locks(scope, 4),
        count(
            "Leases lost",
            "Holds that ended against the holder's will, over the time that is shown. Red: runs were stopped "
            "half-way because renewals failed, or because the process stood still for longer than the TTL.",
            f"ceil({lost})",
        ),
        count(
            "Leases abandoned",
            "Leases that the next holder found ended without a release, over the time that is shown. Red: a holder "
            "died or froze.",
            f"ceil({scope.increase_by(catalogue.LOCK_EXPIRATIONS, window=SPAN)})",
        ),
        count(
            "Stale writes refused",
            "Guarded writes under an old fence, over the time that is shown. Red: a holder went on after its lease "
            "had passed to another; fencing kept it from doing harm.",
            f"ceil({scope.increase_by(catalogue.FENCING_REJECTIONS, window=SPAN)})",
        ),
    )


def _holders(scope: BoardScope) -> Panel:
    held = scope.max_by(catalogue.LOCK_HELD, *_HOLDER)
    since = scope.max_by(catalogue.LOCK_ACQUIRED, *_HOLDER)
    waiters = scope.sum_by(catalogue.LOCK_WAITERS, "resource")
    left = f"{scope.max_by(catalogue.LOCK_EXPIRY, 'resource')} - time()"
    fence = scope.max_by(catalogue.LOCK_FENCE, "resource")
    any_holder = f"and on (resource) {held}"
    return Panel(
        Kind.TABLE,
        "Who holds what",
        "One line for each lock and holder. Two holders of one lock: one of them stood still while its lease ran "
        "out and does not know yet; its fence is stale. A bar at its end: the lock is stuck. Less than nothing left "
        "of the lease: nobody renews it, and the next who asks gets it.",
        "short",
        (
            Query(held, column=Column("Held for", "s")),
            Query(f"{since} * 1000", column=Column("Since", "dateTimeAsIso")),
            Query(
                f"{held_of_limit(scope)}",
                column=Column("Of the limit", "percentunit", above(_HALF_LIMIT, thresholds.HELD_OF_LIMIT), gauge=True),
            ),
            Query(f"({waiters}) {any_holder}", column=Column("Waiting", steps=_SOME_WAIT)),
            Query(f"({left}) {any_holder}", column=Column("Left of the lease", "s")),
            Query(f"({fence}) {any_holder}", column=Column("Fence", "none")),
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
    held = scope.max_by(catalogue.LOCK_HELD, *_HOLDER)
    limit = scope.max_by(catalogue.LOCK_MAX_HOLD, "resource")
    return Panel(
        Kind.STATE_TIMELINE,
        "Holders over time",
        "Who held which lock when. Two lines of one lock at the same time: see above. Red: it was held for longer "
        "than its limit. Holds that fell between two scrapes are not seen; the counters further down have them all.",
        "short",
        (
            Query(
                f"1 + ({held} > bool on (resource) group_left () ({thresholds.HELD_OF_LIMIT:g} * {limit})) or 1 + 0 "
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
        "Leases that ran out and that nobody took",
        "What a sidecar finds in the store: leases that ended without a release, by whose they were. Here for long: "
        "the holder died or froze, and nobody else wants the lock, or is there to want it.",
        "s",
        (Query(scope.max_by(catalogue.LEASE_EXPIRED, *_HOLDER), column=Column("Ended", "s", above(1))),),
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
        "How long attempts that wait did so, however they ended. A band that climbs: the lock is becoming a "
        "bottleneck. The dots are exemplars: each leads to the trace of the run that waited.",
        "s",
        (Query(scope.buckets(catalogue.LOCK_WAIT), "{{le}}", exemplar=True),),
        width=12,
        no_value="nobody waited",
    )


def _wait_quantiles(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long a wait takes",
        "Quantiles of the waits. Above the line: waits are long enough to be felt; see who holds the lock, and for "
        "how long.",
        "s",
        quantiles(scope, catalogue.LOCK_WAIT, exemplar=True),
        width=12,
        no_value="nobody waited",
        steps=above(thresholds.WAIT_P95_S),
    )


def _attempts(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "Attempts",
        "Attempts to take a lock a second, by how they ended. Contended is no failure: in a fleet all but one lose "
        "each race. Failed: nobody could tell whether the lock is free.",
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
        "By reason. Timeout: the wait was given up. The store's: see its row below. Cancelled: whoever waited was "
        "told to stop.",
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
        "How long locks were held, counted when the hold ended. A hold that never ends is not here but in the table "
        "above. The dots are exemplars: each leads to the trace of the run that held it.",
        "s",
        (Query(scope.buckets(catalogue.LOCK_HOLD), "{{le}}", exemplar=True),),
        width=12,
        no_value="nothing was held",
    )


def _hold_quantiles(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How long a hold takes",
        "Quantiles of the holds that ended. Climbing: work under the lock takes longer, and so do the waits for it.",
        "s",
        quantiles(scope, catalogue.LOCK_HOLD, exemplar=True),
        width=12,
        no_value="nothing was held",
    )


def _ends(scope: BoardScope) -> Panel:
    return Panel(
        Kind.TIMESERIES,
        "How holds ended",
        "Released is as it should be. Expired: trust ran out before a renewal was confirmed. Lost: the store said "
        "that it had passed to another. Either of them stops the run.",
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
        "Moves of the state machine",
        "Every edge that locks took. Requests that are followed by neither grants nor refusals: the store hangs. "
        "Grants without releases: holders die.",
        "ops",
        (Query(scope.rate_by(catalogue.LOCK_TRANSITIONS, "event", window=RATE), "{{event}}"),),
        width=12,
        no_value="none",
    )
