"""Check the options with which an operator exports boards and rules: which series, and what counts as on time.

Pure.
"""

from __future__ import annotations

import math
import re
from typing import Final

from tickglass.sched.errors import ConfigError
from tickglass.telemetry.catalogue import JOB_LATENESS, metrics
from tickglass.telemetry.metric import Detail

__all__ = ["checked_kept", "checked_on_time_s", "kept_labels", "matchers_of"]

_MATCHER: Final = re.compile(r'\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\\n]|\\.)*)"\s*', re.ASCII)
_LABEL: Final = re.compile(r"[a-zA-Z_]\w*", re.ASCII)
_ESCAPED: Final = re.compile(r'\\([\\"])')
_RESERVED: Final = re.compile(r"__\w*|le|quantile")  # a target's series do not have these from their target
_OUR_LABELS: Final = frozenset(label.name for metric in metrics() for label in metric.labels)

# Prometheus reads RE2, Python another dialect. Only the pieces that both read in the same way are accepted; they are
# listed here. Python's own parser then checks how they fit together (brackets, ranges, repetitions).
_ESCAPE: Final = r"\\(?:[dDsSwW]|[ -/:-@\[-`{-~])"
_IN_CLASS: Final = rf"(?:[^\\\[\]&|~-]|{_ESCAPE})"
_CLASS: Final = rf"\[\^?(?:{_IN_CLASS}(?:-{_IN_CLASS})?)+-?\]"
_TIMES: Final = r"(?:(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??)?"
_REGEX: Final = re.compile(
    rf"(?:\(\?i\))?(?:\((?:\?i?:)?|\||(?:[^\\()\[\]{{}}*+?|]|\)|{_ESCAPE}|{_CLASS}){_TIMES})*", re.ASCII
)
_REPEATS_MAX: Final = 1000  # of RE2, where one repetition stands in another


def matchers_of(selector: str) -> list[str]:
    """Return a selector's label matchers, one by one, as Prometheus writes them.

    They are for labels that every series of a target has, its `up` too: labels that distinguish clusters, namespaces
    or scrape jobs. Only regular expressions that RE2 surely reads are accepted.

    Args:
        selector: 'namespace="prod", cluster=~"eu-.*"'; "" for none.

    Raises:
        ConfigError: the selector is not written like this, names a label that not every series has, or has a value
            that Prometheus may not read.
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
    """Return whether RE2 surely reads it. RE2 may also read some that are refused here."""
    repeats = math.prod(int(most) or 1 for most in re.findall(r"(\d+),?\}", text))
    if not _REGEX.fullmatch(text) or repeats > _REPEATS_MAX:
        return False
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def checked_kept(labels: tuple[str, ...]) -> None:
    """Check the labels by which jobs of the same name are told apart: those of targets, each once.

    Raises:
        ConfigError: one is no label, is given twice, or is one of the metrics' own.
    """
    for place, label in enumerate(labels):
        if not _LABEL.fullmatch(label) or _RESERVED.fullmatch(label) or label in _OUR_LABELS or label in labels[:place]:
            raise ConfigError(
                "labels that are kept are those of targets, each once",
                given=repr(label),
                instead=("cluster,namespace",),
            )


def kept_labels(text: str) -> tuple[str, ...]:
    """Return labels that are given separated by commas; none for ""."""
    return tuple(label.strip() for label in text.split(",") if label.strip())


def checked_on_time_s(on_time_s: float) -> float:
    """Return how late a start may be to count as on time: a bound that the lateness histogram has at every detail.

    Raises:
        ConfigError: it is not such a bound; the error names the nearest.
    """
    bounds = JOB_LATENESS.bounds(Detail.COMPACT)
    if on_time_s not in bounds:
        nearest = sorted(bounds, key=lambda bound: abs(bound - on_time_s))[:2]
        raise ConfigError(
            "on time is counted at the bounds of the lateness histogram",
            given=f"{on_time_s:g}",
            instead=tuple(f"{bound:g}" for bound in sorted(nearest)),
        )
    return on_time_s
