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

__all__ = ["Alert", "Board", "Group", "Links", "Record", "Severity"]

_DURATION: Final = re.compile(r"\d+[smh]")
_VARIABLES: Final = ("service", "resource", "job_name")  # variables of the boards that a link sets
_BEFORE_S: Final = 3 * 3_600  # a board begins so long before the alert
# The instant of the evaluation: who opens the link the next morning sees what was then.
_FROM: Final = f'from={{{{ query "1000 * (time() - {_BEFORE_S})" | first | value | printf "%.0f" }}}}&to=now'


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
    """Where runbooks and dashboards are: absolute addresses, because a relative one leads nowhere from a pager.

    Args:
        runbooks: the folder of the runbook pages; "": alerts have no link to one.
        dashboards: the address of the Grafana that has the boards; "": alerts have no link to one.

    Raises:
        ConfigError: pages cannot be put below this address.
    """

    runbooks: str = ""
    dashboards: str = ""

    def __post_init__(self) -> None:
        for what, url, instead in (
            ("runbook", self.runbooks, "https://wiki.example.com/runbooks"),
            ("dashboard", self.dashboards, "https://grafana.example.com"),
        ):
            try:
                scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
            except ValueError:
                scheme, host = "", None
            fits = scheme in ("http", "https") and bool(host) and not re.search(r"[\s?#{}]", url)
            if url and not fits:
                raise ConfigError(
                    f"the {what} base URL is not one that pages can be put below", given=url, instead=(instead,)
                )

    def annotations(self, name: str, board: Board, labels: tuple[str, ...]) -> dict[str, str]:
        """Return the links of an alert, those that are known: its runbook, and its board as templates of Prometheus's.

        The board is narrowed to what the alert is about, and to the time from three hours before it.
        """
        narrowed = [f"var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in _VARIABLES if name in labels]
        links = {
            "runbook_url": self.runbooks and f"{self.runbooks.rstrip('/')}/{name}.md",
            "dashboard_url": self.dashboards
            and f"{self.dashboards.rstrip('/')}/d/{board}?{'&'.join((*narrowed, _FROM))}",
        }
        return {key: url for key, url in links.items() if url}


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
                **links.annotations(self.name, self.board, self.labels),
            },
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that Prometheus evaluates one after the other, so a recorded series stands before what reads it.

    Args:
        every: how often; "": as often as Prometheus is configured to.
    """

    name: str
    rules: tuple[Record | Alert, ...]
    every: str = ""

    def document(self, fleet: str, links: Links) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        documents = [
            rule.document(fleet, links) if isinstance(rule, Alert) else rule.document(fleet) for rule in self.rules
        ]
        return {"name": self.name, **({"interval": self.every} if self.every else {}), "rules": documents}
