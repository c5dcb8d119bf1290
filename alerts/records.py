"""Decide what is recorded: what several rules and boards read, and what is dear to compute.

Pure. Names follow Prometheus's level:metric:operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.jobs import OWED_SINCE, due_here, late_share, owed_since
from tickglass.alerts.promql import indented
from tickglass.alerts.rule import Group, Record
from tickglass.telemetry import catalogue

if TYPE_CHECKING:
    from tickglass.alerts.promql import Scope

__all__ = ["records"]

_WINDOWS: Final = ("5m", "30m", "1h", "6h")


def records(scope: Scope) -> Group:
    """Return the recording rules."""
    return Group(
        "tickglass.records",
        (Record(name=OWED_SINCE, expr=owed_since(scope)), *(_late(scope, window) for window in _WINDOWS)),
    )


def _late(scope: Scope, window: str) -> Record:
    bound = repr(scope.on_time_s)  # as the exposition writes it
    within = scope.rate(catalogue.JOB_LATENESS, "job_name", part="bucket", window=window, le=bound)
    due = due_here(scope, "rate", window)
    return Record(name=late_share(window), expr=f"1 - (\n  {within}\n  / on (job_name)\n{indented(due)}\n)")
