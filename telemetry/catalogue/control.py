"""Declare the metrics of what operators ask of the fleet."""

from __future__ import annotations

from typing import Final

from tickglass.sched.control.audit import ActKind
from tickglass.telemetry.catalogue.declare import counter, gauge
from tickglass.telemetry.metric import Label

__all__ = ["CONTROL_ACTS", "CONTROL_VERSION", "SCHEDULER_DRAINED"]

CONTROL_ACTS: Final = counter(
    "tickglass_control_acts_total",
    "Acts of operators on the store that this instance has noticed since it started; every instance counts each. "
    "`tickglass audit` says who did what.",
    Label("act", ActKind),
)
CONTROL_VERSION: Final = gauge(
    "tickglass_control_version",
    "Number of the latest act of an operator that this instance knows of; 0: none.",
)
SCHEDULER_DRAINED: Final = gauge(
    "tickglass_scheduler_drained", "1 while an operator has this instance start nothing more, else 0."
)
