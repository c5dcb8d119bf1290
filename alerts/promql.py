"""Write PromQL from the catalogue: a name, a label or a label value that it does not have is an error.

Pure. A fleet's series may come from the schedulers themselves or from sidecars,
which add `owner` and `service`, and `source` to what they read in a store:
so everything is read through an aggregation.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import ConfigError
from tickglass.telemetry import thresholds
from tickglass.telemetry.metric import Kind
from tickglass.telemetry.selectors import checked_on_time_s, matchers_of

if TYPE_CHECKING:
    from tickglass.telemetry.metric import Metric

__all__ = ["DEFAULT_FLEET", "INSTANCE", "Scope", "by", "indented", "literally"]

DEFAULT_FLEET: Final = "tickglass"
INSTANCE: Final = ("job", "instance", "owner", "service")  # one scheduler, however its series come

_PARTS: Final = {Kind.HISTOGRAM: {"bucket", "sum", "count"}, Kind.COUNTER: {""}, Kind.GAUGE: {""}}
_ADDED: Final = {*INSTANCE, "le", "source"}  # labels of series that the catalogue's metrics do not declare
_OURS: Final = re.compile(r'(=~|!~|!=|=)?"?([^"]*)"?')
_FLEET: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")


def by(operator: str, labels: tuple[str, ...], inner: str) -> str:
    """Return an aggregation; a long one over several lines."""
    text = f"{operator} by ({', '.join(labels)}) ("
    return f"{text}{inner})" if len(inner) < 100 and "\n" not in inner else f"{text}\n{indented(inner)}\n)"


def indented(text: str) -> str:
    """Return the lines two columns further right."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def literally(text: str) -> str:
    """Return a template of Prometheus's that says just this, even if it looks like one."""
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which series the rules read, and the label that tells their alerts from another fleet's.

    Args:
        fleet: a label value that every alert and every recorded series carries.
        selector: label matchers for every selector, by labels of targets, e.g. `namespace="prod"`, separated by commas.
        on_time_s: how late a start may be to count as on time: a bound of the lateness histogram.

    Raises:
        ConfigError: naming what is wrong.
    """

    fleet: str = DEFAULT_FLEET
    selector: str = ""
    on_time_s: float = thresholds.ON_TIME_S

    def __post_init__(self) -> None:
        if not _FLEET.fullmatch(self.fleet):
            raise ConfigError(
                "a fleet is named by letters, digits, dots, underscores and hyphens",
                given=repr(self.fleet),
                instead=("billing-prod",),
            )
        checked_on_time_s(self.on_time_s)
        matchers_of(self.selector)

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
        written = [_matcher(metric, known, name, word) for name, word in matchers.items()] + matchers_of(self.selector)
        return f"{metric.name}{part and '_'}{part}" + (f"{{{','.join(written)}}}" if written else "")

    def up(self) -> str:
        """Return the selector of the targets: by the name of their scrape job, unless the selector names one."""
        matchers = matchers_of(self.selector)
        if not any(matcher.startswith("job=") for matcher in matchers):
            matchers.insert(0, 'job=~"tickglass.*"')
        return f"up{{{','.join(matchers)}}}"

    def most(self, metric: Metric, *labels: str, **matchers: str) -> str:
        """Return the greatest of a gauge's values by these labels: a fleet says one thing many times."""
        return by("max", _checked(metric, labels), self.series(metric, **matchers))

    def latest(self, metric: Metric, *labels: str) -> str:
        """Return the greatest value by these labels in the last hour: what is known of somebody who died."""
        return by("max", _checked(metric, labels), f"last_over_time({self.series(metric)}[1h])")

    def grown(self, metric: Metric, *labels: str, window: str, part: str = "", **matchers: str) -> str:
        """Return how much a counter grew in the window, over the whole fleet, by these labels."""
        return by("sum", _checked(metric, labels), f"increase({self.series(metric, part, **matchers)}[{window}])")

    def rate(self, metric: Metric, *labels: str, window: str, part: str = "", **matchers: str) -> str:
        """Return how fast a counter grows, per second, over the whole fleet, by these labels."""
        return by("sum", _checked(metric, labels), f"rate({self.series(metric, part, **matchers)}[{window}])")

    def recorded(self, name: str) -> str:
        """Return the selector of a series that a rule of this fleet records."""
        return f'{name}{{fleet="{self.fleet}"}}'


def _checked(metric: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
    unknown = set(labels) - {label.name for label in metric.labels} - _ADDED
    if unknown:
        raise ValueError(f"{metric.name} has no label {', '.join(sorted(unknown))}")
    return labels


def _matcher(metric: Metric, known: dict[str, tuple[str, ...]], name: str, word: str) -> str:
    parsed = _OURS.fullmatch(word)
    if parsed is None or (name not in known and name not in _ADDED):
        raise ValueError(f"{metric.name} has no label {name}, or not like {word!r}")
    operator, value = parsed[1] or "=", parsed[2]
    values = value.split("|") if "~" in operator else [value]
    if known.get(name) and not set(values) <= set(known[name]):
        raise ValueError(f"{metric.name}: {name} is never {value!r}")
    return f'{name}{operator}"{value}"'
