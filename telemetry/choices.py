"""Read what an operator chooses when boards and rules are written: which series, and what counts as on time.

Pure.
"""

from __future__ import annotations

import re
from typing import Final

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.catalogue import JOB_LATENESS

__all__ = ["checked_on_time_s", "matchers_of"]

_MATCHER: Final = re.compile(r'\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*("(?:[^"\\\n]|\\.)*")\s*')


def matchers_of(selector: str) -> list[str]:
    """Return a selector's label matchers, one by one, as Prometheus writes them.

    Args:
        selector: 'namespace="prod", cluster=~"eu-.*"'; "" for none.

    Raises:
        ConfigError: it is not written so.
    """
    found, at = [], 0
    while selector.strip() and at < len(selector):
        match = _MATCHER.match(selector, at)
        if match is None or selector[match.end() : match.end() + 1] not in ("", ","):
            raise ConfigError(
                "a selector is a list of label matchers",
                given=selector,
                span=(at, len(selector)),
                instead=('namespace="prod"', 'namespace="prod",cluster=~"eu-.*"'),
            )
        found.append("".join(match.groups()))
        at = match.end() + 1
    return found


def checked_on_time_s(on_time_s: float) -> float:
    """Return how late a start may be to count as on time: one of the bounds that starts are counted at.

    Raises:
        ConfigError: it is none of them; names the nearest.
    """
    bounds = JOB_LATENESS.buckets
    if on_time_s not in bounds:
        nearest = sorted(bounds, key=lambda bound: abs(bound - on_time_s))[:2]
        raise ConfigError(
            "on time is counted at the bounds of the lateness histogram",
            given=f"{on_time_s:g}",
            instead=tuple(f"{bound:g}" for bound in sorted(nearest)),
        )
    return on_time_s
