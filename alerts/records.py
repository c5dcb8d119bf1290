"""Decide which series are recorded: those that several rules read, or that are expensive to compute.

Pure. Names follow Prometheus's level:metric:operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tickglass.alerts.jobs import OWED_SINCE, late_share
from tickglass.alerts.rule import Group, Record
from tickglass.telemetry.queries.jobs import on_time_share, owed_since
from tickglass.telemetry.queries.selector import indented

if TYPE_CHECKING:
    from tickglass.alerts.scope import RuleScope

__all__ = ["records"]

_WINDOWS: Final = ("5m", "30m", "1h", "6h")


def records(scope: RuleScope) -> Group:
    """Return the recording rules."""
    return Group(
        "tickglass.records",
        (Record(name=OWED_SINCE, expr=owed_since(scope)), *(_late(scope, window) for window in _WINDOWS)),
    )


def _late(scope: RuleScope, window: str) -> Record:
    share = on_time_share(scope, "rate", window, "job_name")
    return Record(name=late_share(window), expr=f"1 - (\n{indented(share)}\n)")
