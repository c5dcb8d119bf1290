"""Decide what a rule consists of: an expression, labels, and for an alert a runbook and a dashboard.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DASHBOARDS", "RUNBOOKS", "Alert", "Board", "Group", "Links", "Record", "Severity"]

DASHBOARDS: Final = "http://localhost:3000"
RUNBOOKS: Final = "runbooks"

_DURATION: Final = re.compile(r"\d+[smh]")
_VARIABLES: Final = ("resource", "job_name")  # variables of the boards that a link sets


class Severity(StrEnum):
    """How soon a person must act."""

    CRITICAL = "critical"  # now: harm is being done
    WARNING = "warning"  # in working hours
    NONE = "none"  # never: it proves that alerts arrive


class Board(StrEnum):
    """The dashboard that shows an alert's circumstances, by its uid."""

    OVERVIEW = "tickglass-overview"
    LOCKS = "tickglass-locks"
    JOBS = "tickglass-jobs"
    SCHEDULER = "tickglass-scheduler"
    TELEMETRY = "tickglass-telemetry"


@dataclass(frozen=True, slots=True)
class Links:
    """Where runbooks and dashboards are.

    Args:
        runbooks: the folder of the runbook pages; a path without a host is beside the rules.
        dashboards: the address of the Grafana that has the boards.

    Raises:
        ConfigError: pages cannot be put below this address.
    """

    runbooks: str = RUNBOOKS
    dashboards: str = DASHBOARDS

    def __post_init__(self) -> None:
        for what, url, relative in (("runbook", self.runbooks, True), ("dashboard", self.dashboards, False)):
            try:
                scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
            except ValueError:
                scheme, host = "", None
            local = relative and bool(url) and not scheme and "//" not in url
            fits = local or (scheme in ("http", "https") and bool(host))
            if not fits or re.search(r"[\s?#{}]", url):
                raise ConfigError(
                    f"the {what} base URL is not one that pages can be put below",
                    given=url,
                    instead=("https://wiki.example.com/runbooks" if relative else "https://grafana.example.com",),
                )

    def runbook(self, name: str) -> str:
        """Return the address of an alert's runbook page."""
        return f"{self.runbooks.rstrip('/')}/{name}.md"

    def dashboard(self, board: Board, labels: tuple[str, ...]) -> str:
        """Return the address of a board, narrowed to what the alert is about; a template of Prometheus's."""
        narrowed = "&".join(f"var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in _VARIABLES if name in labels)
        return f"{self.dashboards.rstrip('/')}/d/{board}{narrowed and '?'}{narrowed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A rule that records a series."""

    name: str
    expr: str

    def document(self, fleet: str) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        return {"record": self.name, "expr": self.expr, "labels": {"fleet": fleet}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A rule that alerts an operator.

    Args:
        summary: one sentence without values, the same for all alerts of this rule.
        description: with labels and the value, as a template of Prometheus's.
        labels: labels of the expression that its alerts may have.
        pending: how long the expression must be true before the alert fires: Prometheus's `for`.
        keep_firing_for: how long it goes on firing after the expression was last true, as in Prometheus.
        static_labels: more labels, the same for all of its alerts.

    Raises:
        ValueError: a text is not a sentence, or a time is not a duration.
    """

    name: str
    expr: str
    severity: Severity
    summary: str
    description: str
    board: Board
    labels: tuple[str, ...] = ()
    pending: str = "0s"
    keep_firing_for: str = ""
    static_labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rules = {
            "the summary is a sentence without values": self.summary.endswith(".") and "{{" not in self.summary,
            "the description is a sentence": self.description.endswith("."),
            "its times are durations": all(
                _DURATION.fullmatch(text or "0s") for text in (self.pending, self.keep_firing_for)
            ),
        }
        broken = [rule for rule, kept in rules.items() if not kept]
        if broken:
            raise ValueError(f"alert {self.name}: not so: {'; '.join(broken)}")

    def document(self, fleet: str, links: Links) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        times = {"for": self.pending if self.pending != "0s" else "", "keep_firing_for": self.keep_firing_for}
        return {
            "alert": self.name,
            "expr": self.expr,
            **{key: text for key, text in times.items() if text},
            "labels": {"severity": self.severity.value, "fleet": fleet, **self.static_labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": links.runbook(self.name),
                "dashboard_url": links.dashboard(self.board, self.labels),
            },
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that Prometheus evaluates one after the other."""

    name: str
    rules: tuple[Record | Alert, ...]

    def document(self, fleet: str, links: Links) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        documents = [
            rule.document(fleet, links) if isinstance(rule, Alert) else rule.document(fleet) for rule in self.rules
        ]
        return {"name": self.name, "rules": documents}
