"""Decide which series the rules read, and which label distinguishes their alerts from those of another fleet. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.queries.options import matchers_of
from tickglass.telemetry.queries.selector import Selector

if TYPE_CHECKING:
    from tickglass.telemetry.metric import Metric

__all__ = ["DEFAULT_FLEET", "RuleScope", "literally"]

DEFAULT_FLEET: Final = "tickglass"

_FLEET: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")


def literally(text: str) -> str:
    """Return a template for Prometheus that yields exactly this text, even if the text looks like a template."""
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}"


@dataclass(frozen=True)
class RuleScope(Selector):
    """Which series the rules read: those of one fleet, over all of its instances.

    Args:
        fleet: a label value that every alert and every recorded series carries.

    Raises:
        ConfigError: naming what is wrong.
    """

    fleet: str = DEFAULT_FLEET

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _FLEET.fullmatch(self.fleet):
            raise ConfigError(
                "a fleet is named by letters, digits, dots, underscores and hyphens",
                given=repr(self.fleet),
                instead=("billing-prod",),
            )

    def _with_matchers(self, name: str, metric: Metric, own: list[str]) -> str:  # noqa: ARG002 - boards need the metric
        matchers = own + matchers_of(self.selector)
        return name + (f"{{{','.join(matchers)}}}" if matchers else "")

    def up(self) -> str:
        """Return the selector of the targets: by the name of their scrape job, unless the selector names one."""
        matchers = matchers_of(self.selector)
        if not any(matcher.startswith("job=") for matcher in matchers):
            matchers.insert(0, 'job=~"tickglass.*"')
        return f"up{{{','.join(matchers)}}}"

    def first_label(self, series: str, same: str, wanted: str, before: str) -> str:
        """Return a template that names a label of the first series with the alert's value of another; or nothing.

        Args:
            series: a selector.
            same: the label whose value is the alert's.
            wanted: the label that is shown, after the text `before`.
        """
        bare = series.removesuffix("}")
        joined = f"{bare},{same}=%q}}" if "{" in series else f"{bare}{{{same}=%q}}"
        pattern = json.dumps(joined.replace("%", "%%").replace("%%q", "%q"), ensure_ascii=False)
        found = f"printf {pattern} $labels.{same} | query"
        return f"{{{{ with {found} }}}}{before}{{{{ . | first | label {json.dumps(wanted)} }}}}{{{{ end }}}}"

    def last_known(self, metric: Metric, *labels: str) -> str:
        """Return the greatest value in the last hour, because a dead instance exports nothing any more."""
        return self.max_last_hour(metric, *labels)

    def recorded(self, name: str) -> str:
        """Return the selector of a series that a rule of this fleet records."""
        return f'{name}{{fleet="{self.fleet}"}}'
