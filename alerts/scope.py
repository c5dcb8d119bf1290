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

    def last_known(self, metric: Metric, *labels: str) -> str:
        """Return the greatest value in the last hour, because a dead instance exports nothing any more."""
        return self.max_last_hour(metric, *labels)

    def recorded(self, name: str) -> str:
        """Return the selector of a series that a rule of this fleet records."""
        return f'{name}{{fleet="{self.fleet}"}}'
