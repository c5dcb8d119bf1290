"""Decide what a metric may look like: its name, its unit, and that its labels are bounded.

Pure. The metrics themselves are declared in telemetry/catalogue/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["OVERFLOW", "Compact", "Declared", "Detail", "Domain", "Kind", "Label", "Metric"]

OVERFLOW: Final = "__other__"  # all that has no series of its own: a name past the cap, a value past its domain
_NAME: Final = re.compile(r"(distributed_lock|tickglass)(_[a-z]+)+")
_RESERVED: Final = frozenset({"job", "instance", "le", "quantile"})  # Prometheus uses or renames them


class Kind(StrEnum):
    """How a metric behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Detail(StrEnum):
    """How much a scheduler shows of each job and each lock."""

    FULL = "full"
    COMPACT = "compact"


class Compact(StrEnum):
    """What a metric of jobs or locks becomes at compact detail."""

    BY_NAME = "by_name"  # as at full detail
    TOGETHER = "together"  # counted for all jobs or all locks of a scheduler together, under `OVERFLOW`
    LEFT_OUT = "left_out"


class Declared(StrEnum):
    """Label values that users declare; beyond a cap they fold into `OVERFLOW`, which is counted."""

    JOB_NAME = "job_name"
    RESOURCE = "resource"
    OWNER = "owner"
    SERVICE = "service"
    POOL = "pool"
    STORE = "store"
    SINK = "sink"
    VERSION = "version"
    SOURCE = "source"


Domain = Declared | type[StrEnum]


@dataclass(frozen=True, slots=True)
class Label:
    """A label and all the values that it can have.

    Raises:
        TypeError: the domain is not bounded: plain text, say.
        ValueError: the name is taken by Prometheus.
    """

    name: str
    domain: Domain

    def __post_init__(self) -> None:
        bounded = isinstance(self.domain, Declared) or (
            isinstance(self.domain, type) and issubclass(self.domain, StrEnum) and len(self.domain) > 0
        )
        if not bounded:
            raise TypeError(f"label {self.name}: {self.domain!r} is no bounded domain")
        if self.name in _RESERVED:
            raise ValueError(f"label {self.name} has a meaning of its own to Prometheus")

    @property
    def values(self) -> tuple[str, ...]:
        """All values of an enumeration; () if users declare them."""
        return () if isinstance(self.domain, Declared) else tuple(member.value for member in self.domain)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, declared once.

    Args:
        unit: a base unit that ends the name, "" where there is none.
        buckets: upper bounds, ascending, without infinity; histograms only.
        exemplar: whether its buckets name the trace of a sampled run.
        compact: what it becomes at compact detail.
        compact_buckets: the upper bounds at compact detail, some of `buckets`; (): the same.
        by_name: values of the last label that are counted by name where the others are counted together.

    Raises:
        ValueError: name, kind, unit and buckets do not fit together.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()
    exemplar: bool = False
    compact: Compact = Compact.BY_NAME
    compact_buckets: tuple[float, ...] = ()
    by_name: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rules = {
            "the name begins with distributed_lock_ or tickglass_": _NAME.fullmatch(self.name),
            "a counter, and nothing else, ends in _total": (self.kind is Kind.COUNTER) == self.name.endswith("_total"),
            "the name ends in its unit": not self.unit or self.family.endswith(f"_{self.unit}"),
            "a histogram, and nothing else, has buckets": (self.kind is Kind.HISTOGRAM) == bool(self.buckets),
            "buckets ascend": list(self.buckets) == sorted(set(self.buckets)),
            "only a histogram has exemplars": not self.exemplar or self.kind is Kind.HISTOGRAM,
            "the help is a sentence": self.help.endswith("."),
            "compact detail is for jobs and locks": self.compact is Compact.BY_NAME or self.is_of_name,
            "what is counted together is no gauge": self.compact is not Compact.TOGETHER or self.kind is not Kind.GAUGE,
            "compact buckets are some of the buckets": set(self.compact_buckets) <= set(self.buckets),
            "the values counted by name are the last label's": not self.by_name
            or (self.compact is Compact.TOGETHER and set(self.by_name) <= set(self.labels[-1].values)),
        }
        broken = [rule for rule, kept in rules.items() if not kept]
        if broken:
            raise ValueError(f"metric {self.name}: not so: {'; '.join(broken)}")

    def __hash__(self) -> int:
        """Hash by the name, which no other metric has."""
        return hash(self.name)

    @property
    def family(self) -> str:
        """The name without a counter's `_total`, as OpenMetrics calls the family."""
        return self.name.removesuffix("_total")

    @property
    def is_of_name(self) -> bool:
        """Whether its first label names a job or a resource, so that each of these has series of its own."""
        return bool(self.labels) and self.labels[0].domain in (Declared.JOB_NAME, Declared.RESOURCE)

    def bounds(self, detail: Detail) -> tuple[float, ...]:
        """Return the upper bounds of the buckets, ascending, without infinity."""
        return self.compact_buckets or self.buckets if detail is Detail.COMPACT else self.buckets

    def is_together(self, detail: Detail, last: str) -> bool:
        """Return whether the series with that value of the last label counts for all jobs or all locks."""
        return detail is Detail.COMPACT and self.compact is Compact.TOGETHER and last not in self.by_name

    def is_left_out(self, detail: Detail) -> bool:
        """Return whether there are no series of it."""
        return detail is Detail.COMPACT and self.compact is Compact.LEFT_OUT

    def series_by_name(self, detail: Detail) -> int:
        """Return how many series one job, or one lock with one holder, has of it at most."""
        if self.is_left_out(detail):
            return 0
        each = len(self.bounds(detail)) + len(("+Inf", "_sum", "_count")) if self.kind is Kind.HISTOGRAM else 1
        values = self.labels[-1].values or ("",)
        return each * sum(not self.is_together(detail, value) for value in values)
