"""Put all rules together, in the order in which Prometheus evaluates them.

Pure.
"""

from __future__ import annotations

from tickglass.alerts.jobs import jobs
from tickglass.alerts.locks import locks
from tickglass.alerts.presence import presence
from tickglass.alerts.rule import Alert, Group
from tickglass.alerts.scheduler import scheduler
from tickglass.alerts.scope import RuleScope
from tickglass.alerts.shares import hourly, slow
from tickglass.alerts.sidecar import sidecar

__all__ = ["alerts", "groups"]


def groups(scope: RuleScope | None = None) -> tuple[Group, ...]:
    """Return the rules for a scope; by default for one fleet that has its Prometheus to itself."""
    scope = scope or RuleScope()
    makers = presence, locks, scheduler, sidecar, jobs, hourly, slow
    return tuple(make(scope) for make in makers)


def alerts(scope: RuleScope | None = None) -> tuple[Alert, ...]:
    """Return the alerting rules alone."""
    return tuple(rule for group in groups(scope) for rule in group.rules if isinstance(rule, Alert))
