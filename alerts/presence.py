"""Decide when an operator is alerted because schedulers, or what reports on them, are gone.

Pure. For one death there is one page: no target of the fleet answers; or none of a scrape job; or no scheduler of a
service, whose scrape job has others. One of several is no page. A target that is not listed any more was taken away on
purpose, by a deploy or because the service was scaled down; one that is listed and does not answer has died, or is
frozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.alerts.rule import Alert, Board, Group, Severity
from tickglass.alerts.scope import literally
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.selector import aggregate, on

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["presence"]


def presence(scope: RuleScope) -> Group:
    """Return the rules about who is there."""
    return Group("tickglass.presence", (*_fleet(scope), _targets(scope), _service(scope), *_replicas(scope)))


def _fleet(scope: RuleScope) -> tuple[Alert, ...]:
    return (
        Alert(
            name="TickglassSchedulerDown",
            expr=f"{aggregate('max', scope.keep, scope.up())} == 0",
            pending="2m",
            severity=Severity.CRITICAL,
            labels=scope.keep,
            summary="Prometheus can scrape no scheduler.",
            description=f"None of the targets {literally(scope.up())} is up.",
            board=Board.OVERVIEW,
        ),
        Alert(
            name="TickglassNoTargets",
            expr=f"absent_over_time({scope.up()}[1d])",
            pending="1h",  # a Prometheus that has just been set up has no past
            severity=Severity.WARNING,
            summary="Prometheus has had no scheduler to scrape for a day.",
            description=f"There has been no target {literally(scope.up())} for a day.",
            board=Board.OVERVIEW,
        ),
    )


def _targets(scope: RuleScope) -> Alert:
    by_target = (*scope.keep, "job")
    alive = aggregate("group", scope.keep, f"{scope.up()} == 1")
    return Alert(
        name="TickglassTargetsDown",
        expr=(f"{aggregate('max', by_target, scope.up())} == 0\nand {on(scope.keep)}\n{alive}"),
        pending="2m",
        severity=Severity.CRITICAL,
        labels=by_target,
        summary="Prometheus can no longer scrape a service, but it can scrape another.",
        description="None of the targets of {{ $labels.job }} is up.",
        board=Board.OVERVIEW,
    )


def _service(scope: RuleScope) -> Alert:
    """Return the rule about a service: as a sidecar sees it, or as its own endpoints showed it until they went down."""
    by_service, by_target = scope.by_service, (*scope.keep, "job")
    left = f"{scope.max_by(catalogue.SIDECAR_CONNECTED, *by_service)} == 0"
    own = scope.series(catalogue.SCHEDULER_STATE, state="running", owner="")
    died = (
        f"last_over_time({own}[1h])\nand on (job, instance)\n{scope.up()} == 0\n"
        f"and {on(by_target)}\n{aggregate('group', by_target, f'{scope.up()} == 1')}"
    )
    living = aggregate("group", by_service, scope.series(catalogue.SCHEDULER_STATE, state="running"))
    return Alert(
        name="TickglassServiceDown",
        expr=(
            f"{left}\nor {on(by_service)}\n(\n"
            f"  0 * {aggregate('group', by_service, died).replace(chr(10), chr(10) + '  ')}\n"
            f"  unless {on(by_service)}\n  {living}\n)"
        ),
        pending="2m",
        severity=Severity.CRITICAL,
        labels=by_service,
        summary="No scheduler of a service is there any more.",
        description="{{ $value }} schedulers of {{ $labels.service }} are there; the last one was not asked to stop.",
        board=Board.OVERVIEW,
    )


def _replicas(scope: RuleScope) -> tuple[Alert, ...]:
    by_target, by_owner = (*scope.keep, "job"), (*scope.by_service, "owner")
    connected = scope.max_by(catalogue.SIDECAR_CONNECTED, *by_owner)
    heard = scope.max_by(catalogue.SIDECAR_LAST_EVENT, *by_owner)
    another = aggregate("group", scope.by_service, f"{scope.series(catalogue.SIDECAR_CONNECTED)} == 1")
    return (
        Alert(
            name="TickglassTargetDown",
            expr=(
                f"{aggregate('max', (*by_target, 'instance'), scope.up())} == 0\n"
                f"and {on(by_target)}\n{aggregate('group', by_target, f'{scope.up()} == 1')}"
            ),
            pending="5m",
            severity=Severity.WARNING,
            labels=(*by_target, "instance"),
            summary="One of several targets has died or is frozen; the others are up.",
            description="{{ $labels.instance }} of {{ $labels.job }} has not answered for five minutes.",
            board=Board.OVERVIEW,
        ),
        Alert(
            name="TickglassReplicaGone",
            expr=(
                f"{connected} == 0\n"
                f"and {on(by_owner)}\ntime() - {heard} < {thresholds.REPLICA_GONE_S:g}\n"
                f"and {on(scope.by_service)}\n{another}"
            ),
            pending="5m",
            severity=Severity.WARNING,
            labels=by_owner,
            summary="A scheduler left its sidecar without a stop; another of its service is there.",
            description="{{ $labels.owner }} of {{ $labels.service }} has been gone for five minutes.",
            board=Board.OVERVIEW,
        ),
    )
