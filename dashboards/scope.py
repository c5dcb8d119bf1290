"""Decide how a board asks for series: which variables there are, and the matchers that every query carries.

Pure. Boards must work the same for both origins of series. Most series of a scheduler that Prometheus scrapes have
neither an `owner` nor a `service`. A sidecar adds both to all series, and `source` to those that it read in a store.
So:

- Every query aggregates, by labels that both origins have.
- A service is picked by its instances: `tickglass_scheduler_info` says which instances it has. Every query also has a
  matcher for `service` that accepts series without this label. Within a picked instance such a series belongs to the
  picked service, or it is about a job or a lock that is picked by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.telemetry import catalogue
from tickglass.telemetry.queries.options import matchers_of
from tickglass.telemetry.queries.selector import Selector

if TYPE_CHECKING:
    from tickglass.telemetry.metric import Metric

__all__ = ["DATASOURCE", "GAP", "RATE", "SPAN", "BoardScope", "Variable"]

DATASOURCE: Final = "datasource"
RATE: Final = "$__rate_interval"  # never shorter than four scrapes
GAP: Final = "10m"  # as long as a process may have stood still for its counters to be compared
SPAN: Final = "$__range"  # the time range that the board shows

_PICKED: Final = 'instance=~"$instance"', 'service=~"$service|"'
# Series that were read in a store have no service: they are listed while all services are picked, because the pattern
# for all also matches a source. No service has the name of a source.
_ALL_OR_TOLD: Final = 'source=~"$service|"'
_BY_LABEL: Final = {"job_name": 'job_name=~"$job_name"', "resource": 'resource=~"$resource"'}


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a board: the reader picks values of a label.

    Args:
        all_value: what "All" stands for; "": every value that is listed.
    """

    name: str
    title: str
    label: str
    series: str
    all_value: str = ""
    description: str = ""


@dataclass(frozen=True)
class BoardScope(Selector):
    """Which series a board reads: those that the reader picked by its variables."""

    def _with_matchers(self, name: str, metric: Metric, own: list[str]) -> str:
        picked = [_BY_LABEL[label.name] for label in metric.labels if label.name in _BY_LABEL]
        return self.named(name, *picked, *own)

    def named(self, name: str, *matchers: str) -> str:
        """Return a selector of series that the catalogue does not have: Prometheus's own, the process's."""
        return f"{name}{{{', '.join([*matchers_of(self.selector), *_PICKED, *matchers])}}}"

    def last_known(self, metric: Metric, *labels: str) -> str:
        """Return the greatest value of the instances that are there at the instant shown."""
        return self.max_by(metric, *labels)

    def rises(self, metric: Metric, *labels: str, **matchers: str) -> str:
        """Return when a counter went up, also across a gap: a process that stood still is not scraped either.

        An increase would see nothing if its whole window lies after the gap.
        """
        latest = f"last_over_time({self.series(metric, **matchers)}[{GAP}]"
        return f"sum by ({', '.join(labels)}) ({latest}) - {latest} offset {RATE})) > 0"

    def quantile(self, share: float, metric: Metric, *labels: str) -> str:
        """Return a quantile of a histogram."""
        return f"histogram_quantile({share}, {self.rate_by(metric, 'le', *labels, part='bucket', window=RATE)})"

    def buckets(self, metric: Metric) -> str:
        """Return what a heatmap draws."""
        return self.increase_by(metric, "le", part="bucket", window=RATE)

    def variables(self) -> tuple[Variable, ...]:
        """Return the variables of every board, so that links keep them; each may depend on those before it."""
        info, sidecars = catalogue.SCHEDULER_INFO.name, catalogue.SIDECAR_LAST_PROBE.name
        # At compact detail some series are there for all together, under a name of their own: the last of each.
        jobs = "|".join(metric.name for metric in (catalogue.JOB_DUE, catalogue.JOB_NEXT, catalogue.JOB_ORPHANS))
        # From events of schedulers, or from what a sidecar saw in a store.
        known_by = (catalogue.LOCK_ATTEMPTS, catalogue.LOCK_HELD, catalogue.LEASE_EXPIRED, catalogue.LOCK_TRANSITIONS)
        locks = "|".join(metric.name for metric in known_by)
        return (
            Variable("service", "Service", "service", self._plain(info), all_value=".*"),
            Variable(
                "instance",
                "Instance",
                "instance",
                self._plain("", f'__name__=~"{info}|{sidecars}"', 'service=~"$service|"'),
                description="What Prometheus scrapes: a scheduler, or a sidecar with all series that it has.",
            ),
            Variable("job_name", "Job", "job_name", self._plain("", f'__name__=~"{jobs}"', *_PICKED, _ALL_OR_TOLD)),
            Variable("resource", "Lock", "resource", self._plain("", f'__name__=~"{locks}"', *_PICKED)),
        )

    def _plain(self, name: str, *matchers: str) -> str:
        every = [*matchers_of(self.selector), *matchers]
        return f"{name}{{{', '.join(every)}}}" if every else name
