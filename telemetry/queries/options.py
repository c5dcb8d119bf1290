"""Read what an operator chooses when boards and rules are written: which series, and what counts as on time.

Pure.
"""

from __future__ import annotations

import math
import re
from typing import Final

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.catalogue import JOB_LATENESS, metrics

__all__ = ["checked_on_time_s", "matchers_of"]

_MATCHER: Final = re.compile(r'\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\\n]|\\.)*)"\s*', re.ASCII)
_ESCAPED: Final = re.compile(r'\\([\\"])')
_RESERVED: Final = re.compile(r"__\w*|le|quantile")  # no series of a target has them from its target
_OUR_LABELS: Final = frozenset(label.name for metric in metrics() for label in metric.labels)

# Prometheus reads RE2, Python something else. What both read, and read alike, is little and enough: the pieces are
# listed here, and that they fit together (brackets, ranges, what is repeated) is left to Python.
_ESCAPE: Final = r"\\(?:[dDsSwW]|[ -/:-@\[-`{-~])"
_IN_CLASS: Final = rf"(?:[^\\\[\]&|~-]|{_ESCAPE})"
_CLASS: Final = rf"\[\^?(?:{_IN_CLASS}(?:-{_IN_CLASS})?)+-?\]"
_TIMES: Final = r"(?:(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??)?"
_REGEX: Final = re.compile(
    rf"(?:\(\?i\))?(?:\((?:\?i?:)?|\||(?:[^\\()\[\]{{}}*+?|]|\)|{_ESCAPE}|{_CLASS}){_TIMES})*", re.ASCII
)
_MOST_REPEATS: Final = 1000  # of RE2, where one repetition stands in another


def matchers_of(selector: str) -> list[str]:
    """Return a selector's label matchers, one by one, as Prometheus writes them.

    They are for labels that every series of a target has, its `up` too: what tells clusters, namespaces or scrape
    jobs apart. Of regular expressions only what RE2 surely reads is taken.

    Args:
        selector: 'namespace="prod", cluster=~"eu-.*"'; "" for none.

    Raises:
        ConfigError: it is not written so, it is about a label that not every series has, or Prometheus may not
            read a value.
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
        _check_label(match)
        _check_value(match)
        found.append(f'{match[1]}{match[2]}"{match[3]}"')
        at = match.end() + 1
    return found


def _check_label(match: re.Match[str]) -> None:
    if match[1] in _OUR_LABELS or _RESERVED.fullmatch(match[1]):
        raise ConfigError(
            "a selector is for the labels of targets, which all of their series have, `up` too",
            given=match.string,
            span=match.span(1),
            instead=('namespace="prod"', 'job="billing"'),
        )


def _check_value(match: re.Match[str]) -> None:
    value = _ESCAPED.sub(r"\1", match[3])
    if "\\" in _ESCAPED.sub("", match[3]):
        problem, instead = "a backslash is written twice", r'cluster=~"eu-\\d"'
    elif not value.isprintable():
        problem, instead = "a value has a character that cannot be seen", 'namespace="prod"'
    elif "~" in match[2] and not _is_regex(value):
        problem, instead = "Prometheus (RE2) may not read this regular expression", 'cluster=~"eu-(1|2|test.*)"'
    else:
        return
    raise ConfigError(problem, given=match.string, span=match.span(3), instead=(instead,))


def _is_regex(text: str) -> bool:
    """Return whether RE2 surely reads it; it may read more."""
    repeats = math.prod(int(most) or 1 for most in re.findall(r"(\d+),?\}", text))
    if not _REGEX.fullmatch(text) or repeats > _MOST_REPEATS:
        return False
    try:
        re.compile(text)
    except re.error:
        return False
    return True


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
