"""Write PromQL from the catalogue: a name, a label or a label value that it does not have is an error.

Pure. Series come from the schedulers themselves or from sidecars. Sidecars add
`owner` and `service`, and `source` to the series that they read in a store. So
every query aggregates, by labels that both origins have.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.telemetry import thresholds
from tickglass.telemetry.metric import Kind
from tickglass.telemetry.queries.options import checked_kept, checked_on_time_s, matchers_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickglass.telemetry.metric import Metric

__all__ = ["INSTANCE", "KEPT", "Selector", "aggregate", "indented", "none_of", "on", "on_one_line", "one_of"]

KEPT: Final = ("cluster", "namespace")  # labels of targets that tell apart what has the same name
INSTANCE: Final = ("job", "instance", "owner", "service")  # one scheduler, however its series come

_PARTS: Final = {Kind.HISTOGRAM: {"bucket", "sum", "count"}, Kind.COUNTER: {""}, Kind.GAUGE: {""}}
_ADDED: Final = {*INSTANCE, "le", "source"}  # labels of series that the catalogue's metrics do not declare
_MATCHER: Final = re.compile(r'(=~|!~|!=|=)?"?([^"]*)"?')
_LINE_WIDTH: Final = 100


def aggregate(operator: str, labels: tuple[str, ...], inner: str) -> str:
    """Return an aggregation by labels, or over everything without them; a long one over several lines."""
    text = f"{operator} by ({', '.join(labels)}) (" if labels else f"{operator}("
    return f"{text}{inner})" if len(inner) < _LINE_WIDTH and "\n" not in inner else f"{text}\n{indented(inner)}\n)"


def on(labels: tuple[str, ...]) -> str:
    """Return what matches two sides by these labels."""
    return f"on ({', '.join(labels)})"


def indented(text: str) -> str:
    """Return the lines two columns further right."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def on_one_line(expr: str) -> str:
    """Return an expression without line breaks; no value of a label has one."""
    opened = re.sub(r"\(\n\s*", "(", expr)
    closed = re.sub(r"\n\s*\)", ")", opened)
    return re.sub(r"\n\s*", " ", closed)


def one_of(values: Iterable[str]) -> str:
    """Return a matcher for any of these values, as `Selector.series` takes it."""
    return f"=~{'|'.join(values)}"


def none_of(values: Iterable[str]) -> str:
    """Return a matcher for any other value than these, as `Selector.series` takes it."""
    return f"!~{'|'.join(values)}"


@dataclass(frozen=True)
class Selector(ABC):
    """Writes selectors and the usual aggregations.

    Args:
        selector: matchers that every selector gets beside its own, by labels of targets: 'namespace="prod"'.
        on_time_s: how late a start may be to count as on time: a bound of the lateness histogram.
        keep: labels of targets by which jobs, locks and instances of the same name are told apart. A label that no
            series has does no harm.

    Raises:
        ConfigError: naming what is wrong.
    """

    selector: str = ""
    on_time_s: float = thresholds.ON_TIME_S
    keep: tuple[str, ...] = KEPT

    def __post_init__(self) -> None:
        matchers_of(self.selector)
        checked_on_time_s(self.on_time_s)
        checked_kept(self.keep)

    @property
    def by_service(self) -> tuple[str, ...]:
        """The labels of a service."""
        return (*self.keep, "service")

    @property
    def by_job(self) -> tuple[str, ...]:
        """The labels of a job, over all instances: another service may have a job of the same name."""
        return (*self.by_service, "job_name")

    @property
    def by_resource(self) -> tuple[str, ...]:
        """The labels of a lock: a resource is shared by all services that name it."""
        return (*self.keep, "resource")

    @property
    def by_instance(self) -> tuple[str, ...]:
        """The labels of one scheduler, however its series come."""
        return (*self.keep, *INSTANCE)

    @property
    def on_time_bound(self) -> str:
        """The bucket of the starts that were on time, as the exposition writes it."""
        return repr(self.on_time_s)

    def series(self, metric: Metric, part: str = "", **matchers: str) -> str:
        """Return a selector.

        Args:
            part: bucket, sum or count of a histogram.
            matchers: by label: a value, or an operator and a value, such as `!=elsewhere` or `=~a|b`.

        Raises:
            ValueError: the catalogue does not have it so.
        """
        if part not in _PARTS[metric.kind]:
            raise ValueError(f"{metric.name} is a {metric.kind}: it has no part {part!r}")
        known = {label.name: label.values for label in metric.labels}
        own = [_matcher(metric, known, name, word) for name, word in matchers.items()]
        return self._with_matchers(f"{metric.name}{part and '_'}{part}", metric, own)

    @abstractmethod
    def _with_matchers(self, name: str, metric: Metric, own: list[str]) -> str:
        """Return the selector with the matchers that are given and those of every query."""

    @abstractmethod
    def last_known(self, metric: Metric, *labels: str) -> str:
        """Return the greatest of a gauge's values by these labels: now, or also in the last hour."""

    def max_by(self, metric: Metric, *labels: str, **matchers: str) -> str:
        """Return the greatest of a gauge's values by these labels: several instances may report the same thing."""
        return aggregate("max", self._checked(metric, labels), self.series(metric, **matchers))

    def max_last_hour(self, metric: Metric, *labels: str) -> str:
        """Return the greatest value by these labels in the last hour, also of instances that died since."""
        return aggregate("max", self._checked(metric, labels), f"last_over_time({self.series(metric)}[1h])")

    def sum_by(self, metric: Metric, *labels: str, **matchers: str) -> str:
        """Return the sum of a gauge's values by these labels: each instance reports its own part."""
        return aggregate("sum", self._checked(metric, labels), self.series(metric, **matchers))

    def increase_by(self, metric: Metric, *labels: str, window: str, part: str = "", **matchers: str) -> str:
        """Return how much a counter grew in the window, summed by these labels."""
        counted = self.series(metric, part, **matchers)
        return aggregate("sum", self._checked(metric, labels), f"increase({counted}[{window}])")

    def rate_by(self, metric: Metric, *labels: str, window: str, part: str = "", **matchers: str) -> str:
        """Return how fast a counter grows, per second, summed by these labels."""
        counted = self.series(metric, part, **matchers)
        return aggregate("sum", self._checked(metric, labels), f"rate({counted}[{window}])")

    def _checked(self, metric: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
        unknown = set(labels) - {label.name for label in metric.labels} - _ADDED - set(self.keep)
        if unknown:
            raise ValueError(f"{metric.name} has no label {', '.join(sorted(unknown))}")
        return labels


def _matcher(metric: Metric, known: dict[str, tuple[str, ...]], name: str, word: str) -> str:
    parsed = _MATCHER.fullmatch(word)
    if parsed is None or (name not in known and name not in _ADDED):
        raise ValueError(f"{metric.name} has no label {name}, or not like {word!r}")
    operator, value = parsed[1] or "=", parsed[2]
    values = value.split("|") if "~" in operator else [value]
    if known.get(name) and not set(values) <= set(known[name]):
        raise ValueError(f"{metric.name}: {name} is never {value!r}")
    return f'{name}{operator}"{value}"'
