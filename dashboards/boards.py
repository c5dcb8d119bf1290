"""Name the boards, in the order in which they are read, and the annotations that all of them have. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tickglass.dashboards.jobs import jobs
from tickglass.dashboards.locks import locks
from tickglass.dashboards.model import Annotation
from tickglass.dashboards.overview import overview
from tickglass.dashboards.scheduler import scheduler
from tickglass.dashboards.telemetry_health import health
from tickglass.telemetry import catalogue

if TYPE_CHECKING:
    from tickglass.dashboards.model import Board
    from tickglass.dashboards.scope import BoardScope

__all__ = ["boards"]


def boards(scope: BoardScope) -> tuple[Board, ...]:
    """Return all boards."""
    annotations = _annotations(scope)
    return tuple(replace(make(scope), annotations=annotations) for make in (overview, locks, jobs, scheduler, health))


def _annotations(scope: BoardScope) -> tuple[Annotation, ...]:
    lost = scope.rises(catalogue.LOCK_RELEASES, *scope.by_resource, "reason", reason="=~lost|expired")
    abandoned = scope.rises(catalogue.LOCK_EXPIRATIONS, *scope.by_resource)
    steps = scope.rises(catalogue.CLOCK_STEPS, "instance", "direction")
    acts = scope.rises(catalogue.CONTROL_ACTS, "act")
    return (
        Annotation("Leases lost", lost, "{{resource}}: lease {{reason}}", "red"),
        Annotation("Leases abandoned", abandoned, "{{resource}}: lease ended without a release", "orange"),
        Annotation("Operators", acts, "an operator: {{act}}", "blue"),
        Annotation("Clock steps", steps, "{{instance}}: clock set {{direction}}", "purple"),
    )
