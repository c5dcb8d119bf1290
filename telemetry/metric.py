"""Decide what a metric may look like: its name, its unit, and that its labels are bounded.

Pure. The metrics themselves are declared in telemetry/catalogue/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["OVERFLOW", "Declared", "Domain", "Kind", "Label", "Metric"]

OVERFLOW: Final = "__other__"  # what a label value becomes when its domain is full
_NAME: Final = re.compile(r"(distributed_lock|tickglass)(_[a-z]+)+")
_RESERVED: Final = frozenset({"job", "instance", "le", "quantile"})  # Prometheus uses or renames them


class Kind(StrEnum):
    """How a metric behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


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

    def __post_init__(self) -> None:
        rules = {
            "the name begins with distributed_lock_ or tickglass_": _NAME.fullmatch(self.name),
            "a counter, and nothing else, ends in _total": (self.kind is Kind.COUNTER) == self.name.endswith("_total"),
            "the name ends in its unit": not self.unit or self.family.endswith(f"_{self.unit}"),
            "a histogram, and nothing else, has buckets": (self.kind is Kind.HISTOGRAM) == bool(self.buckets),
            "buckets ascend": list(self.buckets) == sorted(set(self.buckets)),
            "only a histogram has exemplars": not self.exemplar or self.kind is Kind.HISTOGRAM,
            "the help is a sentence": self.help.endswith("."),
        }
        broken = [rule for rule, kept in rules.items() if not kept]
        if broken:
            raise ValueError(f"metric {self.name}: not so: {'; '.join(broken)}")

    @property
    def family(self) -> str:
        """The name without a counter's `_total`, as OpenMetrics calls the family."""
        return self.name.removesuffix("_total")
