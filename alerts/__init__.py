"""Alerting rules for Prometheus, with their severities and runbooks, and an example for Alertmanager."""

from tickglass.alerts.alertmanager import INHIBITIONS, Inhibition
from tickglass.alerts.export import files
from tickglass.alerts.rule import Alert, Group, Links, Record, Severity
from tickglass.alerts.rulebook import alerts, groups
from tickglass.alerts.scope import RuleScope

__all__ = [
    "INHIBITIONS",
    "Alert",
    "Group",
    "Inhibition",
    "Links",
    "Record",
    "RuleScope",
    "Severity",
    "alerts",
    "files",
    "groups",
]
