"""Read what an operator chooses when boards and rules are written: which series, and what counts as on time.

Pure.
"""

from __future__ import annotations

import re
from typing import Final
from warnings import catch_warnings, simplefilter

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.catalogue import JOB_LATENESS, metrics

__all__ = ["checked_on_time_s", "matchers_of"]

_ESCAPES: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_MATCHER: Final = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\\n]|\\[abfnrtv\\"])*")\s*"""  # Prometheus's escapes
)
_NOT_RE2: Final = re.compile(
    r"\(\?(?:[=!(>]|<[=!]|P=)|\\[1-9]|(?<!\\)[*+?}]\+"
)  # Prometheus does not look around or back
# Of series of ours; `up`, say, has none of them.
_OURS: Final = {label.name for metric in metrics() for label in metric.labels} | {"le", "owner", "service", "source"}


def matchers_of(selector: str) -> list[str]:
    """Return a selector's label matchers, one by one, as Prometheus writes them.

    Args:
        selector: 'namespace="prod", cluster=~"eu-.*"'; "" for none.

    Raises:
        ConfigError: it is not written so, Prometheus could not read it, or a label is one that only some series have.
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
        _check(selector, match)
        found.append("".join(match.groups()))
        at = match.end() + 1
    return found


def _check(selector: str, matcher: re.Match[str]) -> None:
    label, operator, quoted = matcher.groups()
    if label in _OURS:
        raise ConfigError(
            f"{label} is a label of single metrics: a selector is for labels that all targets have",
            given=selector,
            span=matcher.span(1),
            instead=('namespace="prod"', 'job="tickglass-billing"'),
        )
    if "~" in operator and not _is_pattern(re.sub(r"\\(.)", lambda escape: _ESCAPES[escape[1]], quoted[1:-1])):
        raise ConfigError(
            "Prometheus could not read the regular expression",
            given=selector,
            span=matcher.span(3),
            instead=('"eu-.*"',),
        )


def _is_pattern(text: str) -> bool:
    try:
        with catch_warnings():
            simplefilter("ignore", FutureWarning)  # of sets in sets: here they are [:classes:]
            re.compile(text)
    except (re.error, OverflowError):
        return False
    return _NOT_RE2.search(text) is None


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
