"""Decide when a job spends its budget of late starts too fast.

Pure. Two windows, as in Google's SRE workbook: the long one says that it matters, the short one that it goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickglass.alerts.rule import Alert, Board, Record, Severity
from tickglass.telemetry import thresholds
from tickglass.telemetry.queries.jobs import due_here, on_time_share
from tickglass.telemetry.queries.selector import indented, on

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["burn", "late_share", "late_shares"]


def late_share(window: str) -> str:
    """Return the name of the recorded share of due instants that did not start in time."""
    return f"service_job_name:tickglass_job_late:ratio_rate{window}"


def late_shares(scope: RuleScope, *windows: str) -> tuple[Record, ...]:
    """Return what records these shares, from the counters."""
    return tuple(_recorded(scope, window) for window in windows)


def _recorded(scope: RuleScope, window: str) -> Record:
    share = on_time_share(scope, "rate", window, *scope.by_job)
    return Record(name=late_share(window), expr=f"1 - (\n{indented(share)}\n)")


def burn(
    scope: RuleScope,
    pace: str,
    windows: tuple[str, str],
    factor: float,
    *,
    at_least: tuple[int, str],
    pending: str,
    severity: Severity,
) -> Alert:
    """Return the alert at one pace.

    Args:
        windows: the long one and the short one, both recorded.
        factor: how many times faster than the budget allows.
        at_least: how many due instants in which window must not have been on time. A share of few says nothing.
    """
    long, short = windows
    count, window = at_least
    share = f"{factor * (1 - thresholds.ON_TIME_OBJECTIVE):.6g}"
    matching = on(scope.by_job)
    late = f"{scope.recorded(late_share(window))}\n* {matching}\n{due_here(scope, 'increase', window, *scope.by_job)}"
    return Alert(
        name=f"TickglassOnTimeBudgetBurn{pace}",
        expr=(
            f"{scope.recorded(late_share(long))} > {share}\n"
            f"and {matching}\n{scope.recorded(late_share(short))} > {share}\n"
            f"and {matching}\nround(\n{indented(late)}\n) >= {count}"
        ),
        pending=pending,
        keep_firing_for="5m",  # with the short window it ends before the causes that inhibit it
        severity=severity,
        labels=scope.by_job,
        summary=f"A job spends its budget of late starts {factor:g} times too fast.",
        description=(
            "{{ $value | humanizePercentage }} of the due instants of {{ $labels.job_name }}"
            f" in {long} did not start within {scope.on_time_s * 1000:g} ms."
        ),
        board=Board.JOBS,
        static_labels={"long": long, "short": short},
    )
