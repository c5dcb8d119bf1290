"""Decide how a board asks for series: which variables there are, and the matchers that every query carries.

Pure. Where the series come from must not matter. A scheduler that is scraped itself names neither itself nor its
service on most of its series; a sidecar adds `owner` and `service` to all of them, and `source` to what it read in a
store. So:

- Everything is aggregated, by labels that both have.
- A service is picked by way of the instances that have it: `tickglass_scheduler_info` says who an instance is. Beside
  `instance` every query has a matcher for `service` that lets series without one through: within a picked instance they
  belong to the picked service, or are about a job or a lock that is picked by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.telemetry import catalogue, thresholds
from tickglass.telemetry.metric import Kind
from tickglass.telemetry.selectors import checked_on_time_s, matchers_of

if TYPE_CHECKING:
    from tickglass.telemetry.metric import Metric

__all__ = ["DATASOURCE", "GAP", "RATE", "SPAN", "Scope", "Variable"]

DATASOURCE: Final = "datasource"
RATE: Final = "[$__rate_interval]"  # never shorter than four scrapes
GAP: Final = "[10m]"  # as long as a process may have stood still for its counters to be compared
SPAN: Final = "[$__range]"  # what the board shows

_PICKED: Final = 'instance=~"$instance"', 'service=~"$service|"'
# A store knows no services: what was read there is listed while all are picked; no service is called like a source.
_ALL_OR_TOLD: Final = 'source=~"$service|"'
_BY_LABEL: Final = {"job_name": 'job_name=~"$job_name"', "resource": 'resource=~"$resource"'}


@dataclass(frozen=True, slots=True)
class Variable:
    """What a reader picks: the values of a label.

    Args:
        all_value: what "All" stands for; "": every value that is listed.
    """

    name: str
    title: str
    label: str
    series: str
    all_value: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """Writes selectors and the usual aggregations.

    Args:
        selector: matchers that every query gets beside its own: 'cluster="eu"'.
        on_time_s: how late a start may be to count as on time: a bound of the lateness histogram.

    Raises:
        ConfigError: naming what is wrong.
    """

    selector: str = ""
    on_time_s: float = thresholds.ON_TIME_S

    def __post_init__(self) -> None:
        matchers_of(self.selector)
        checked_on_time_s(self.on_time_s)

    def of(self, metric: Metric, *matchers: str, part: str = "") -> str:
        """Return a selector of the series of a metric, as far as they are picked.

        Args:
            part: of a histogram, and only there: bucket, count or sum.
        """
        if (metric.kind is Kind.HISTOGRAM) != bool(part):
            raise ValueError(f"{metric.name}: a histogram, and nothing else, has parts")
        picked = [_BY_LABEL[label.name] for label in metric.labels if label.name in _BY_LABEL]
        return self.named(f"{metric.name}_{part}" if part else metric.name, *picked, *matchers)

    def named(self, name: str, *matchers: str) -> str:
        """Return a selector of series that the catalogue does not have: Prometheus's own, the process's."""
        return f"{name}{{{', '.join([*self._extra, *_PICKED, *matchers])}}}"

    def rate(self, metric: Metric, by: str, *matchers: str, part: str = "", over: str = RATE) -> str:
        """Return how often per second, summed."""
        return f"sum by ({by}) (rate({self.of(metric, *matchers, part=part)}{over}))"

    def increase(self, metric: Metric, by: str, *matchers: str, part: str = "", over: str = SPAN) -> str:
        """Return how often in all, summed; over what the board shows unless said otherwise."""
        counted = f"(increase({self.of(metric, *matchers, part=part)}{over}))"
        return f"sum by ({by}) {counted}" if by else f"sum{counted}"

    def jumps(self, metric: Metric, by: str, *matchers: str) -> str:
        """Return when a counter went up, also across a gap: a process that stood still is not scraped either.

        An increase would see nothing if all that it looks at lies after the gap.
        """
        latest = f"last_over_time({self.of(metric, *matchers)}{GAP}"
        return f"sum by ({by}) ({latest}) - {latest} offset $__rate_interval)) > 0"

    def quantile(self, share: float, metric: Metric, by: str = "") -> str:
        """Return a quantile of a histogram."""
        labels = f"le, {by}" if by else "le"
        return f"histogram_quantile({share}, {self.rate(metric, labels, part='bucket')})"

    def buckets(self, metric: Metric) -> str:
        """Return what a heatmap draws."""
        return f"sum by (le) (increase({self.of(metric, part='bucket')}{RATE}))"

    def highest(self, metric: Metric, by: str, *matchers: str) -> str:
        """Return the highest value: of a gauge that several may report."""
        return f"max by ({by}) ({self.of(metric, *matchers)})"

    def total(self, metric: Metric, by: str, *matchers: str) -> str:
        """Return the sum: of a gauge of which each instance reports its own part."""
        return f"sum by ({by}) ({self.of(metric, *matchers)})" if by else f"sum({self.of(metric, *matchers)})"

    def variables(self) -> tuple[Variable, ...]:
        """Return the variables of every board, so that links keep them; each may depend on those before it."""
        info, sidecars = catalogue.SCHEDULER_INFO.name, catalogue.SIDECAR_LAST_PROBE.name
        jobs = f"{catalogue.JOB_DUE.name}|{catalogue.JOB_NEXT.name}"
        known_by = (catalogue.LOCK_TRANSITIONS, catalogue.LOCK_HELD, catalogue.LEASE_EXPIRED)  # told, or seen
        locks = "|".join(metric.name for metric in known_by)
        return (
            Variable("service", "Service", "service", self._plain(info), all_value=".*"),
            Variable(
                "instance",
                "Instance",
                "instance",
                self._plain("", f'__name__=~"{info}|{sidecars}"', 'service=~"$service|"'),
                description="What Prometheus scrapes: a scheduler, or a sidecar and all that it knows.",
            ),
            Variable("job_name", "Job", "job_name", self._plain("", f'__name__=~"{jobs}"', *_PICKED, _ALL_OR_TOLD)),
            Variable("resource", "Lock", "resource", self._plain("", f'__name__=~"{locks}"', *_PICKED)),
        )

    @property
    def _extra(self) -> list[str]:
        return matchers_of(self.selector)

    def _plain(self, name: str, *matchers: str) -> str:
        return f"{name}{{{', '.join([*self._extra, *matchers])}}}" if self._extra or matchers else name
