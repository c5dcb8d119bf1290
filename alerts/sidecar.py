"""Decide when an operator is alerted about what a sidecar cannot see.

Pure. Without a sidecar none of these series exist, and none of these alerts fires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.rule import Alert, Board, Group, Severity
from tickglass.sched.durations import SECOND, duration_text
from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.queries.selector import aggregate, on

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["sidecar"]

_PROBE: Final = ("job", "instance", "source")


def sidecar(scope: RuleScope) -> Group:
    """Return the rules about what sidecars say of themselves."""
    return Group("tickglass.sidecar", (_silent(scope), _on_some(scope), _blind(scope), _missed(scope)))


def _silent(scope: RuleScope) -> Alert:
    living = scope.max_by(catalogue.SERVICE_INSTANCES, *scope.by_service)
    most = aggregate("max", scope.by_service, f"max_over_time({scope.series(catalogue.SERVICE_INSTANCES)}[1h])")
    return Alert(
        name="TickglassInstanceSilent",
        expr=(
            f"{scope.max_by(catalogue.SERVICE_SILENT, *scope.by_service)} > 0\n"
            # else others have taken their places
            f"and {on(scope.by_service)}\n{living} < {on(scope.by_service)} {most}"
        ),
        pending="2m",
        severity=Severity.WARNING,
        labels=scope.by_service,
        summary="An instance died, or does not reach its store, and none has taken its place.",
        description="{{ $value }} instances of {{ $labels.service }} are silent: they did not stop by themselves.",
        board=Board.SCHEDULER,
    )


def _on_some(scope: RuleScope) -> Alert:
    having = scope.max_by(catalogue.JOB_INSTANCES, *scope.by_job)
    living = scope.max_by(catalogue.SERVICE_INSTANCES, *scope.by_service)
    return Alert(
        name="TickglassJobOnSomeInstances",
        expr=f"{having} < {on(scope.by_service)} group_left () {living}",
        pending="15m",
        severity=Severity.WARNING,
        labels=scope.by_job,
        summary="A job is on some instances of its service only, for longer than a deploy takes.",
        description=(
            "Only {{ $value }} of the living instances of {{ $labels.service }} have the job {{ $labels.job_name }}."
        ),
        board=Board.JOBS,
    )


def _blind(scope: RuleScope) -> Alert:
    by_probe = (*scope.keep, *_PROBE)
    matching = on(by_probe)
    age = scope.max_by(catalogue.SIDECAR_PROBE_AGE, *by_probe)
    failed = scope.increase_by(catalogue.SIDECAR_PROBE_ERRORS, *by_probe, window="5m")
    return Alert(
        name="TickglassSidecarBlind",
        expr=(
            f"{age} > {thresholds.PROBE_SILENT_S:g}\n"
            f"or {matching}\n0 * ({failed} > 0 unless {matching} {age})"  # 0: the sidecar has never read the store
        ),
        pending="1m",
        severity=Severity.CRITICAL,
        labels=by_probe,
        summary="A sidecar cannot read a store that it watches.",
        description=(
            "The sidecar at {{ $labels.instance }} {{ if gt $value 0.0 }}last read {{ $labels.source }}"
            " {{ $value | humanizeDuration }} ago{{ else }}has never read {{ $labels.source }}{{ end }}."
        ),
        board=Board.TELEMETRY,
    )


def _missed(scope: RuleScope) -> Alert:
    window = duration_text(round(thresholds.EVENTS_MISSED_S * SECOND))
    missed = scope.increase_by(catalogue.SIDECAR_MISSED, *scope.by_instance, window=window)
    return Alert(
        name="TickglassSidecarMissedEvents",
        expr=f"{missed} > 0",
        severity=Severity.WARNING,
        labels=scope.by_instance,
        summary="A sidecar missed events of a scheduler, so its counts are too low.",
        description=(
            'The sidecar at {{ $labels.instance }} missed {{ $value | printf "%.0f" }} events'
            f" of {{{{ $labels.owner }}}} in {window}."
        ),
        board=Board.TELEMETRY,
    )
